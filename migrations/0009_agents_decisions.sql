-- What staff decide about an agent or a commission stays on the record it is about; a rejected applicant may apply again.

ALTER TABLE agents
    ADD COLUMN decision_reason text,
    ADD COLUMN decided_by uuid REFERENCES accounts,
    ADD COLUMN decided_at timestamptz,
    -- The latest application: a second one of the same person is found by it within its own transaction.
    ADD COLUMN application_id uuid CONSTRAINT agents_application_key UNIQUE;
UPDATE agents SET decided_at = updated_at WHERE state <> 'pending';

INSERT INTO agent_moves VALUES ('apply_again', 'rejected', 'pending');

-- The API's view of an agent; `decision` is the latest one, kept when a rejected applicant applies again.
CREATE OR REPLACE VIEW agent_view AS
SELECT g.id, g.state, a.full_name, a.email, a.phone, g.city, a.language, g.tier, g.referral_code,
       g.created_at, g.version, a.identity_sub, trim_scale(g.commission_rate)::text AS commission_rate,
       CASE WHEN g.decided_at IS NOT NULL
            THEN jsonb_build_object('reason', g.decision_reason, 'decided_by', g.decided_by, 'decided_at', g.decided_at)
            END AS decision
FROM agents g JOIN accounts a USING (id);

ALTER TABLE commissions
    ADD COLUMN decision_reason text,
    ADD COLUMN decided_by uuid REFERENCES accounts,
    ADD COLUMN decided_at timestamptz;
CREATE INDEX commissions_by_state ON commissions (state, id DESC);

CREATE TABLE commission_moves (
    decision text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO commission_moves VALUES
    ('approve', 'pending', 'approved'),
    ('void', 'pending', 'void'),
    ('void', 'approved', 'void'),
    ('pay', 'approved', 'paid');

CREATE OR REPLACE FUNCTION check_commission_move() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require(
        EXISTS (SELECT FROM commission_moves WHERE from_state = OLD.state AND to_state = NEW.state),
        'commission-move-not-allowed');
    RETURN NEW;
END $$;

-- The view of a commission for staff.
CREATE VIEW commission_record AS
SELECT c.id, c.kind, c.state, c.rate::text AS rate, c.amount::text AS amount, c.currency, c.period_starts_on,
       jsonb_build_object('id', m.id, 'number', m.number) AS member,
       jsonb_build_object('id', c.agent_id, 'full_name', a.full_name) AS agent,
       CASE WHEN c.decided_at IS NOT NULL
            THEN jsonb_build_object('reason', c.decision_reason, 'decided_by', c.decided_by, 'decided_at', c.decided_at)
            END AS decision,
       c.created_at, c.agent_id
FROM commissions c
JOIN members m ON m.id = c.member_id
JOIN accounts a ON a.id = c.agent_id;

GRANT SELECT ON commission_moves, commission_record TO interdomestik_app;
