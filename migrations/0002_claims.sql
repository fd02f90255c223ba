-- Claims, the moves they may make, their history and their evidence.

CREATE SEQUENCE claim_numbers;
CREATE TABLE claims (
    id uuid PRIMARY KEY,
    number text NOT NULL CONSTRAINT claims_number_key UNIQUE
        DEFAULT reading_number('CLM', nextval('claim_numbers')),
    member_id uuid NOT NULL REFERENCES members,
    state text NOT NULL DEFAULT 'submitted',
    category text NOT NULL CHECK (category IN ('vehicle', 'property', 'injury', 'travel')),
    title text NOT NULL,
    company_name text NOT NULL,
    description text NOT NULL,
    incident_date date NOT NULL,
    incident_country text NOT NULL CHECK (incident_country ~ '^[A-Z]{2}$'),
    amount numeric(14, 2) NOT NULL CHECK (amount >= 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    assignee_id uuid REFERENCES accounts,
    version integer NOT NULL DEFAULT 1,
    state_since timestamptz NOT NULL DEFAULT now(),
    sla_notified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE claim_numbers OWNED BY claims.number;
CREATE INDEX claims_by_member ON claims (member_id, id DESC);
CREATE INDEX claims_by_state ON claims (state, id DESC);
CREATE INDEX claims_by_assignee ON claims (assignee_id, id DESC);

-- Days in a state before a claim counts as stuck, and as a breach of what members were promised.
CREATE TABLE claim_states (
    state text PRIMARY KEY,
    stuck_after interval,
    breach_after interval
);
INSERT INTO claim_states VALUES
    ('submitted', '2 days', '3 days'),
    ('verification', '5 days', '7 days'),
    ('evaluation', '3 days', '5 days'),
    ('negotiation', '7 days', '14 days'),
    ('court', '30 days', NULL),
    ('resolved', NULL, NULL),
    ('rejected', NULL, NULL),
    ('withdrawn', NULL, NULL);
ALTER TABLE claims ADD FOREIGN KEY (state) REFERENCES claim_states;

CREATE TABLE claim_moves (
    from_state text NOT NULL REFERENCES claim_states,
    to_state text NOT NULL REFERENCES claim_states,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO claim_moves VALUES
    ('submitted', 'verification'), ('submitted', 'evaluation'), ('submitted', 'rejected'),
    ('verification', 'evaluation'), ('verification', 'submitted'),
    ('evaluation', 'negotiation'), ('evaluation', 'verification'), ('evaluation', 'rejected'), ('evaluation', 'resolved'),
    ('negotiation', 'court'), ('negotiation', 'resolved'), ('negotiation', 'evaluation'), ('negotiation', 'rejected'),
    ('court', 'resolved'), ('court', 'rejected'), ('court', 'negotiation'),
    ('resolved', 'evaluation'), ('resolved', 'negotiation'),
    ('rejected', 'evaluation'),
    ('submitted', 'withdrawn'), ('verification', 'withdrawn'), ('evaluation', 'withdrawn');

CREATE FUNCTION check_claim_move() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require(
        EXISTS (SELECT FROM claim_moves WHERE from_state = OLD.state AND to_state = NEW.state),
        'move-not-allowed');
    NEW.state_since := now();
    NEW.sla_notified_at := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER claims_move BEFORE UPDATE OF state ON claims
    FOR EACH ROW EXECUTE FUNCTION check_claim_move();

CREATE FUNCTION check_claim_access() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require(
        EXISTS (SELECT FROM subscriptions s WHERE s.member_id = NEW.member_id
                AND gives_access(s.state, s.ends_on, (now() AT TIME ZONE 'UTC')::date)),
        'membership-required');
    RETURN NEW;
END $$;
CREATE TRIGGER claims_access BEFORE INSERT ON claims
    FOR EACH ROW EXECUTE FUNCTION check_claim_access();

CREATE TABLE claim_history (
    claim_id uuid NOT NULL REFERENCES claims,
    version integer NOT NULL,
    from_state text REFERENCES claim_states,
    to_state text NOT NULL REFERENCES claim_states,
    reason text,
    decline_code text CHECK (decline_code IN
        ('not_covered', 'insufficient_evidence', 'time_barred', 'duplicate', 'no_response', 'other')),
    actor_role text NOT NULL CHECK (actor_role IN ('member', 'staff', 'admin')),
    actor_id uuid NOT NULL REFERENCES accounts,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (claim_id, version),
    FOREIGN KEY (from_state, to_state) REFERENCES claim_moves,
    CHECK ((to_state = 'rejected') = (decline_code IS NOT NULL))
);
CREATE TRIGGER claim_history_append_only BEFORE UPDATE OR DELETE ON claim_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A live document holds one of its claim's ten slots; a rejected one has given its slot back.
CREATE TABLE documents (
    id uuid PRIMARY KEY,
    claim_id uuid NOT NULL REFERENCES claims,
    slot smallint CHECK (slot BETWEEN 1 AND 10),
    file_name text NOT NULL,
    content_type text NOT NULL CHECK (content_type IN
        ('image/jpeg', 'image/png', 'image/webp', 'application/pdf', 'text/plain')),
    size integer NOT NULL CHECK (size BETWEEN 1 AND 10485760),
    object_key text NOT NULL UNIQUE,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'available', 'rejected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT documents_slot_key UNIQUE (claim_id, slot),
    CHECK ((state = 'rejected') = (slot IS NULL))
);
CREATE INDEX documents_pending ON documents (created_at) WHERE state = 'pending';

CREATE VIEW claim_view AS
SELECT c.id, c.number, c.state, c.category, c.title, c.company_name, c.description, c.incident_date,
       c.incident_country, c.amount::text AS amount, c.currency,
       CASE WHEN c.assignee_id IS NOT NULL
            THEN jsonb_build_object('id', c.assignee_id, 'full_name', s.full_name) END AS assignee,
       c.created_at, c.updated_at, c.version, c.member_id, c.assignee_id, m.identity_sub AS owner_sub,
       c.state_since + t.stuck_after < now() AS stuck
FROM claims c
JOIN accounts m ON m.id = c.member_id
JOIN claim_states t ON t.state = c.state
LEFT JOIN accounts s ON s.id = c.assignee_id;

CREATE VIEW document_view AS
SELECT d.id, d.claim_id, d.file_name, d.content_type, d.size, d.state, d.created_at, d.updated_at,
       d.object_key, m.identity_sub AS owner_sub
FROM documents d
JOIN claims c ON c.id = d.claim_id
JOIN accounts m ON m.id = c.member_id;
