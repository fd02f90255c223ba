-- Days are those of the stack's country. The functions pass the day with each row they write; where they don't (those of
-- an earlier version), it is told here: Kosovo, North Macedonia and Albania all keep Central European (Summer) Time.

CREATE FUNCTION local_today() RETURNS date
LANGUAGE sql STABLE AS $$ SELECT (now() AT TIME ZONE 'Europe/Belgrade')::date $$;

-- MEM-2026-000123, with the year of `day`. Six digits at least; a seventh is kept, not cut.
CREATE FUNCTION reading_number(prefix text, day date, n bigint) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT prefix || '-' || extract(year FROM day) || '-' || lpad(n::text, greatest(6, length(n::text)), '0')
$$;

ALTER TABLE members ADD COLUMN registered_on date;
UPDATE members SET registered_on = (created_at AT TIME ZONE 'Europe/Belgrade')::date;
ALTER TABLE members ALTER COLUMN registered_on SET DEFAULT local_today();
ALTER TABLE members ALTER COLUMN registered_on SET NOT NULL;

ALTER TABLE claims ADD COLUMN submitted_on date;
UPDATE claims SET submitted_on = (created_at AT TIME ZONE 'Europe/Belgrade')::date;
ALTER TABLE claims ALTER COLUMN submitted_on SET DEFAULT local_today();
ALTER TABLE claims ALTER COLUMN submitted_on SET NOT NULL;

-- A default can't see the row's other columns, so a trigger makes the number. It stays inside a function: a statement
-- that names nextval() would pin the proxy's connection.
CREATE FUNCTION number_member() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := coalesce(NEW.number, reading_number('MEM', NEW.registered_on, nextval('member_numbers')));
    RETURN NEW;
END $$;
ALTER TABLE members ALTER COLUMN number DROP DEFAULT;
CREATE TRIGGER members_number BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION number_member();

CREATE FUNCTION number_claim() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := coalesce(NEW.number, reading_number('CLM', NEW.submitted_on, nextval('claim_numbers')));
    RETURN NEW;
END $$;
ALTER TABLE claims ALTER COLUMN number DROP DEFAULT;
CREATE TRIGGER claims_number BEFORE INSERT ON claims FOR EACH ROW EXECUTE FUNCTION number_claim();

-- Access is decided on the day of the submission.
CREATE OR REPLACE FUNCTION check_claim_access() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require(
        EXISTS (SELECT FROM subscriptions s WHERE s.member_id = NEW.member_id
                AND gives_access(s.state, s.ends_on, NEW.submitted_on)),
        'membership-required');
    RETURN NEW;
END $$;
