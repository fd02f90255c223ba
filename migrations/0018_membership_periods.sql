-- A membership's years, pauses and state, told by dates; reminders of its end, and mails to people not known yet.
--
-- A year runs from its first day to the day before the anniversary, both included. Anniversaries are counted from
-- `anchor_on`: a year that begins on 29 February has its anniversary on the 28th, and in a leap year on the 29th again.

ALTER TABLE subscriptions
    ADD COLUMN anchor_on date,
    ADD COLUMN period_starts_on date,
    ADD COLUMN renewed_on date,
    ADD COLUMN paused_on date,
    ADD COLUMN paused_days integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN subscriptions.starts_on IS 'First day of the membership, uninterrupted since.';
COMMENT ON COLUMN subscriptions.ends_on IS 'Last day that is paid for; a pause that is under way will move it.';
COMMENT ON COLUMN subscriptions.anchor_on IS 'The day whose anniversaries begin the years.';
COMMENT ON COLUMN subscriptions.period_starts_on IS 'First day of the last year that is paid for.';
COMMENT ON COLUMN subscriptions.renewed_on IS 'The day on which that year was agreed on.';
COMMENT ON COLUMN subscriptions.paused_on IS 'First day of the pause that is under way, in the state paused.';
COMMENT ON COLUMN subscriptions.paused_days IS 'Days by which pauses have moved the end since the last renewal.';

-- Days after the end in which a membership that was not cancelled may still be used, and renewed without a gap.
CREATE FUNCTION grace_days() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 14 $$;

-- Days by which pauses may move the end between two renewals. A pause ends by itself when they are used up.
CREATE FUNCTION most_paused_days() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 90 $$;

-- The anniversary of a day; that of 29 February is the 28th where the year has no other.
CREATE FUNCTION anniversary(day date, years integer) RETURNS date
LANGUAGE sql IMMUTABLE AS $$ SELECT (day + make_interval(years => years))::date $$;

-- The anniversary of `anchor` in the year of `day`.
CREATE FUNCTION anniversary_in_year_of(anchor date, day date) RETURNS date
LANGUAGE sql IMMUTABLE AS $$
    SELECT anniversary(anchor, (extract(year FROM day) - extract(year FROM anchor))::integer)
$$;

-- The last day of the year that begins on `first_day`, an anniversary of `anchor`.
CREATE FUNCTION year_end(anchor date, first_day date) RETURNS date
LANGUAGE sql IMMUTABLE AS $$ SELECT anniversary_in_year_of(anchor, anniversary(first_day, 1)) - 1 $$;

-- Days that the end has been moved by, with those of the pause that is under way.
CREATE FUNCTION paused_days_on(s subscriptions, day date) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT s.paused_days + CASE WHEN s.state = 'paused' AND s.paused_on < day
        THEN least(day - s.paused_on, most_paused_days() - s.paused_days) ELSE 0 END
$$;

-- Whether a membership is paused on a day: a pause is over when its days are used up.
CREATE FUNCTION is_paused(s subscriptions, day date) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT s.state = 'paused' AND paused_days_on(s, day) < most_paused_days()
$$;

-- The last day of a membership as it is known on a day. While it is paused the end stays where it was.
CREATE FUNCTION membership_end(s subscriptions, day date) RETURNS date
LANGUAGE sql IMMUTABLE AS $$
    SELECT s.ends_on + CASE WHEN is_paused(s, day) THEN 0 ELSE paused_days_on(s, day) - s.paused_days END
$$;

-- A membership's state on a day. The column follows when housekeeping runs; canceled and expired are final in it.
CREATE FUNCTION membership_state(s subscriptions, day date) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN s.state IN ('canceled', 'expired') THEN s.state
        WHEN is_paused(s, day) THEN 'paused'
        WHEN day <= membership_end(s, day) THEN 'active'
        WHEN s.cancel_at_period_end THEN 'canceled'
        WHEN day <= membership_end(s, day) + grace_days() THEN 'past_due'
        ELSE 'expired' END
$$;

-- Whether a membership opens the services on a day.
CREATE FUNCTION has_access(s subscriptions, day date) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT membership_state(s, day) IN ('active', 'past_due') $$;

-- The year that a renewal on a day adds: after the current end, or from that day on where the membership has ended.
-- An end that is off the anchor's anniversaries, because pauses moved it, makes an anchor of the day after it.
CREATE FUNCTION next_year(s subscriptions, day date)
RETURNS TABLE (starts_on date, anchor_on date, period_starts_on date, ends_on date)
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN n.goes_on THEN s.starts_on ELSE day END, n.anchor, n.first_day, year_end(n.anchor, n.first_day)
    FROM (SELECT f.first_day, f.goes_on,
                 CASE WHEN f.goes_on AND anniversary_in_year_of(s.anchor_on, f.first_day) = f.first_day
                      THEN s.anchor_on ELSE f.first_day END AS anchor
          FROM (SELECT g.goes_on, CASE WHEN g.goes_on THEN membership_end(s, day) + 1 ELSE day END AS first_day
                FROM (SELECT membership_state(s, day) NOT IN ('canceled', 'expired') AS goes_on) g) f) n
$$;

-- Rows of before. A membership that still runs used to end on its anniversary, that day included: it now ends the day
-- before. What has ended, or ends today, keeps its end.
UPDATE subscriptions SET
    anchor_on = starts_on,
    period_starts_on = greatest(starts_on, anniversary(ends_on, -1)),
    renewed_on = greatest((updated_at AT TIME ZONE 'Europe/Belgrade')::date, anniversary(ends_on, -2)),
    paused_on = CASE WHEN state = 'paused' THEN (updated_at AT TIME ZONE 'Europe/Belgrade')::date END,
    ends_on = ends_on - CASE WHEN state IN ('active', 'paused') AND ends_on > local_today()
        AND ends_on = anniversary_in_year_of(starts_on, ends_on) THEN 1 ELSE 0 END;

ALTER TABLE subscriptions
    ALTER COLUMN anchor_on SET NOT NULL,
    ALTER COLUMN period_starts_on SET NOT NULL,
    ALTER COLUMN renewed_on SET NOT NULL,
    ADD CONSTRAINT subscriptions_paused_days CHECK (paused_days BETWEEN 0 AND most_paused_days()),
    ADD CONSTRAINT subscriptions_end_in_reach
        CHECK (ends_on <= anniversary(renewed_on, 2) + most_paused_days());

-- Fills in what functions of an earlier version don't write: they know neither periods nor pauses.
CREATE FUNCTION keep_period() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.anchor_on := coalesce(NEW.anchor_on, NEW.starts_on);
        NEW.period_starts_on := coalesce(NEW.period_starts_on, NEW.starts_on);
        NEW.renewed_on := coalesce(NEW.renewed_on, NEW.starts_on);
    ELSIF NEW.ends_on > OLD.ends_on
        AND (NEW.period_starts_on, NEW.renewed_on, NEW.paused_days)
          = (OLD.period_starts_on, OLD.renewed_on, OLD.paused_days) THEN
        NEW.period_starts_on := CASE WHEN NEW.starts_on = OLD.starts_on THEN OLD.ends_on + 1 ELSE NEW.starts_on END;
        NEW.renewed_on := local_today();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER subscriptions_period BEFORE INSERT OR UPDATE ON subscriptions
    FOR EACH ROW EXECUTE FUNCTION keep_period();

CREATE INDEX subscriptions_ending ON subscriptions (ends_on);
CREATE INDEX subscriptions_paused ON subscriptions (paused_on) WHERE state = 'paused';

-- Access to claims is told by dates as well.
CREATE OR REPLACE FUNCTION check_claim_access() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require(
        EXISTS (SELECT FROM subscriptions s WHERE s.member_id = NEW.member_id AND has_access(s, NEW.submitted_on)),
        'membership-required');
    RETURN NEW;
END $$;

-- member_view and client_view, with the membership as it is on a day.
CREATE FUNCTION members_on(day date)
RETURNS TABLE (id uuid, number text, full_name text, email text, phone text, country text, language text, agent jsonb,
               membership jsonb, created_at timestamptz, version integer, identity_sub text)
LANGUAGE sql STABLE AS $$
    SELECT m.id, m.number, a.full_name, a.email, a.phone, m.country, a.language,
           CASE WHEN m.agent_id IS NOT NULL
                THEN jsonb_build_object('id', m.agent_id, 'full_name', aa.full_name) END,
           jsonb_build_object('plan', s.plan, 'state', membership_state(s, day), 'starts_on', s.starts_on,
                              'ends_on', membership_end(s, day), 'price', s.price::text, 'currency', s.currency,
                              'cancel_at_period_end', s.cancel_at_period_end),
           m.created_at, m.version, a.identity_sub
    FROM members m
    JOIN accounts a USING (id)
    JOIN subscriptions s ON s.member_id = m.id
    LEFT JOIN accounts aa ON aa.id = m.agent_id
$$;

CREATE FUNCTION clients_on(day date)
RETURNS TABLE (id uuid, number text, full_name text, membership_state text, membership_ends_on date, agent_id uuid)
LANGUAGE sql STABLE AS $$
    SELECT m.id, m.number, a.full_name, membership_state(s, day), membership_end(s, day), c.agent_id
    FROM agent_clients c
    JOIN members m ON m.id = c.member_id
    JOIN accounts a ON a.id = m.id
    JOIN subscriptions s ON s.member_id = m.id
$$;

-- Whether this transaction has written a record: what follows from a change follows only where there was one.
CREATE FUNCTION is_written_here(kind text, record_id uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT pg_current_xact_id_if_assigned()::xid = CASE kind
        WHEN 'members' THEN (SELECT xmin FROM members WHERE id = record_id)
        WHEN 'agents' THEN (SELECT xmin FROM agents WHERE id = record_id)
        WHEN 'claims' THEN (SELECT xmin FROM claims WHERE id = record_id) END
$$;

-- Which reminders of a period's end were written, with the job of each: once, however many sweeps there are.
CREATE TABLE membership_reminders (
    subscription_id uuid NOT NULL REFERENCES subscriptions,
    period_starts_on date NOT NULL,
    kind text NOT NULL CHECK (kind IN ('30-days', '7-days', 'last-day', 'ended')),
    job_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscription_id, period_starts_on, kind)
);

-- The reminder that a membership is due on a day, or null. Only one is: who was not told 30 days before, because nothing
-- ran, is not told that 30 days are left when 7 are. Whoever has cancelled is told once, when access has ended; and
-- nobody of an end that is more than `lateness` days past.
CREATE FUNCTION reminder_due(s subscriptions, day date, lateness integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE membership_state(s, day)
        WHEN 'active' THEN CASE
            WHEN s.cancel_at_period_end THEN NULL
            WHEN membership_end(s, day) = day THEN 'last-day'
            WHEN membership_end(s, day) - day <= 7 THEN '7-days'
            WHEN membership_end(s, day) - day <= 30 THEN '30-days' END
        WHEN 'canceled' THEN CASE WHEN day - s.ends_on BETWEEN 1 AND lateness THEN 'ended' END
        WHEN 'expired' THEN CASE WHEN day - s.ends_on - grace_days() BETWEEN 1 AND lateness THEN 'ended' END END
$$;

-- When an address that has not been proven got a mail by somebody's typing it in: such a mail goes out once a day.
CREATE TABLE greetings (
    address text NOT NULL,
    template text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (address, template)
);
CREATE INDEX greetings_by_age ON greetings (sent_at);

GRANT SELECT, INSERT ON membership_reminders TO interdomestik_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON greetings TO interdomestik_app;
