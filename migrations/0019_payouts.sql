-- Payouts: a month's run pays every commission that was earned by its end and is approved, once, and gives each agent a
-- statement. A commission is a line of the statement that it names.

ALTER TABLE commissions ADD COLUMN earned_on date;
UPDATE commissions SET earned_on = (created_at AT TIME ZONE 'Europe/Belgrade')::date;
ALTER TABLE commissions ALTER COLUMN earned_on SET DEFAULT local_today();
ALTER TABLE commissions ALTER COLUMN earned_on SET NOT NULL;
COMMENT ON COLUMN commissions.earned_on IS 'The day of the registration or renewal, in the stack''s country.';

CREATE TABLE payouts (
    id uuid PRIMARY KEY,
    month date NOT NULL CONSTRAINT payouts_month_key UNIQUE CHECK (extract(day FROM month) = 1),
    made_by uuid NOT NULL REFERENCES accounts,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN payouts.month IS 'The first day of the month that is paid.';

CREATE SEQUENCE payout_numbers;
CREATE TABLE payout_statements (
    payout_id uuid NOT NULL REFERENCES payouts,
    agent_id uuid NOT NULL REFERENCES agents,
    number text NOT NULL CONSTRAINT payout_statements_number_key UNIQUE,
    issued_on date NOT NULL,
    total numeric(12, 2) NOT NULL CHECK (total >= 0),
    currency text NOT NULL CHECK (currency = 'EUR'),
    PRIMARY KEY (payout_id, agent_id)
);
ALTER SEQUENCE payout_numbers OWNED BY payout_statements.number;
CREATE INDEX payout_statements_by_agent ON payout_statements (agent_id, payout_id DESC);

-- PAY-2026-000012, with the year in which it was issued. Inside a trigger: a statement that names nextval() would pin
-- the proxy's connection.
CREATE FUNCTION number_statement() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := reading_number('PAY', NEW.issued_on, nextval('payout_numbers'));
    RETURN NEW;
END $$;
CREATE TRIGGER payout_statements_number BEFORE INSERT ON payout_statements
    FOR EACH ROW EXECUTE FUNCTION number_statement();

-- Paid is what stands on a statement, which is its own agent's and is one.
ALTER TABLE commissions
    ADD COLUMN payout_id uuid,
    ADD CONSTRAINT commissions_statement_fkey FOREIGN KEY (payout_id, agent_id) REFERENCES payout_statements,
    ADD CONSTRAINT commissions_paid_on_a_statement CHECK ((state = 'paid') = (payout_id IS NOT NULL)),
    ADD CONSTRAINT commissions_currency CHECK (currency = 'EUR');
CREATE INDEX commissions_by_payout ON commissions (payout_id, agent_id) WHERE payout_id IS NOT NULL;

-- A statement says what its lines add up to, whoever writes it or them.
CREATE FUNCTION check_statement_sums() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT payout_id, agent_id FROM changed WHERE payout_id IS NOT NULL) c
        JOIN payout_statements s USING (payout_id, agent_id)
        WHERE s.total IS DISTINCT FROM (
            SELECT sum(l.amount) FROM commissions l WHERE l.payout_id = s.payout_id AND l.agent_id = s.agent_id)) THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_statements_sum',
            MESSAGE = 'a statement''s total is not the sum of its lines';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER payout_statements_sum AFTER INSERT ON payout_statements
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_statement_sums();
CREATE TRIGGER commissions_sum AFTER UPDATE ON commissions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_statement_sums();

-- What was earned does not change, and what was paid stays on its statement.
CREATE FUNCTION refuse_new_amount() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'IR002', MESSAGE = 'what a commission earns whom does not change';
END $$;
CREATE TRIGGER commissions_keep_amount BEFORE UPDATE ON commissions FOR EACH ROW
    WHEN ((NEW.agent_id, NEW.rate, NEW.amount, NEW.currency, NEW.earned_on)
              IS DISTINCT FROM (OLD.agent_id, OLD.rate, OLD.amount, OLD.currency, OLD.earned_on)
          OR (OLD.payout_id IS NOT NULL AND NEW.payout_id IS DISTINCT FROM OLD.payout_id))
    EXECUTE FUNCTION refuse_new_amount();
CREATE TRIGGER payouts_append_only BEFORE UPDATE OR DELETE ON payouts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payout_statements_append_only BEFORE UPDATE OR DELETE ON payout_statements
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The API's views of a commission for staff, a statement and a run.
CREATE OR REPLACE VIEW commission_record AS
SELECT c.id, c.kind, c.state, c.rate::text AS rate, c.amount::text AS amount, c.currency, c.period_starts_on,
       jsonb_build_object('id', m.id, 'number', m.number) AS member,
       jsonb_build_object('id', c.agent_id, 'full_name', a.full_name) AS agent,
       CASE WHEN c.decided_at IS NOT NULL
            THEN jsonb_build_object('reason', c.decision_reason, 'decided_by', c.decided_by, 'decided_at', c.decided_at)
            END AS decision,
       c.created_at, c.agent_id, c.earned_on, s.number AS statement_number
FROM commissions c
JOIN members m ON m.id = c.member_id
JOIN accounts a ON a.id = c.agent_id
LEFT JOIN payout_statements s ON s.payout_id = c.payout_id AND s.agent_id = c.agent_id;

CREATE VIEW statement_view AS
SELECT s.payout_id, s.number, to_char(p.month, 'YYYY-MM') AS month, s.issued_on, s.total::text AS total, s.currency,
       jsonb_build_object('id', s.agent_id, 'full_name', a.full_name) AS agent,
       (SELECT jsonb_agg(jsonb_build_object(
                   'commission_id', c.id, 'kind', c.kind, 'member_number', m.number, 'earned_on', c.earned_on,
                   'rate', c.rate::text, 'amount', c.amount::text) ORDER BY c.id)
        FROM commissions c JOIN members m ON m.id = c.member_id
        WHERE c.payout_id = s.payout_id AND c.agent_id = s.agent_id) AS lines,
       s.agent_id
FROM payout_statements s
JOIN payouts p ON p.id = s.payout_id
JOIN accounts a ON a.id = s.agent_id;

CREATE VIEW payout_view AS
SELECT p.id, to_char(p.month, 'YYYY-MM') AS month, p.made_by, p.created_at,
       (SELECT count(*) FROM payout_statements s WHERE s.payout_id = p.id) AS statement_count,
       (SELECT count(*) FROM commissions c WHERE c.payout_id = p.id) AS commission_count,
       (SELECT coalesce(sum(s.total), 0)::numeric(14, 2)::text FROM payout_statements s WHERE s.payout_id = p.id) AS total,
       'EUR' AS currency, p.month AS first_day
FROM payouts p;

GRANT SELECT, INSERT ON payouts, payout_statements TO interdomestik_app;
GRANT SELECT ON statement_view, payout_view TO interdomestik_app;
GRANT USAGE ON SEQUENCE payout_numbers TO interdomestik_app;
