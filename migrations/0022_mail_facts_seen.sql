-- Of a recipient or subject that can't be seen yet, because the statement that writes the job writes them as well, nothing is
-- kept with the job: its facts are looked up when the mail leaves. Kept as nulls, they would fail it.
CREATE OR REPLACE FUNCTION keep_mail_facts() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    complete jsonb := with_mail_facts(NEW.subject_id, NEW.payload);
    facts jsonb := complete->'facts';
BEGIN
    IF (NEW.payload->>'to' = 'desk' OR facts->>'full_name' IS NOT NULL)
        AND coalesce(facts->>'referral_code', facts->>'member_number', facts->>'claim_number') IS NOT NULL THEN
        NEW.payload := complete;
    END IF;
    RETURN NEW;
END $$;
