-- Reminders once for each end of a period: a pause moves the end, and who was told of the old one is told of the new one.

ALTER TABLE membership_reminders ADD COLUMN ends_on date;
COMMENT ON COLUMN membership_reminders.ends_on IS 'The last day that the reminder told, as subscriptions.ends_on had it then.';

-- What was written about the current period counts for the end that there is now: nobody is told twice by this change.
UPDATE membership_reminders r SET ends_on = CASE WHEN r.period_starts_on = s.period_starts_on THEN s.ends_on
                                                 ELSE year_end(r.period_starts_on, r.period_starts_on) END
FROM subscriptions s WHERE s.id = r.subscription_id;

ALTER TABLE membership_reminders
    ALTER COLUMN ends_on SET NOT NULL,
    DROP CONSTRAINT membership_reminders_pkey,
    ADD PRIMARY KEY (subscription_id, period_starts_on, kind, ends_on);

-- Fills in what functions of an earlier version don't write: the end that there is.
CREATE FUNCTION keep_reminded_end() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.ends_on := coalesce(NEW.ends_on, (SELECT s.ends_on FROM subscriptions s WHERE s.id = NEW.subscription_id));
    RETURN NEW;
END $$;
CREATE TRIGGER membership_reminders_end BEFORE INSERT ON membership_reminders
    FOR EACH ROW EXECUTE FUNCTION keep_reminded_end();

GRANT INSERT (ends_on) ON membership_reminders TO interdomestik_housekeeping;

-- As before, but for who cancels in the grace after the period's end: access ends on that day, so they are told of it
-- until `lateness` days after the grace, as whoever did not cancel is.
CREATE OR REPLACE FUNCTION reminder_due(s subscriptions, day date, lateness integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE membership_state(s, day)
        WHEN 'active' THEN CASE
            WHEN s.cancel_at_period_end THEN NULL
            WHEN membership_end(s, day) = day THEN 'last-day'
            WHEN membership_end(s, day) - day <= 7 THEN '7-days'
            WHEN membership_end(s, day) - day <= 30 THEN '30-days' END
        WHEN 'canceled' THEN CASE WHEN day - s.ends_on BETWEEN 1 AND grace_days() + lateness THEN 'ended' END
        WHEN 'expired' THEN CASE WHEN day - s.ends_on - grace_days() BETWEEN 1 AND lateness THEN 'ended' END END
$$;
