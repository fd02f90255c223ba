-- What makes a write happen once and its consequences happen at all: keys, outbox, audit.

CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('mail', 'identity')),
    priority text NOT NULL CHECK (priority IN ('high', 'normal', 'low')),
    subject_id uuid NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'queued', 'running', 'done', 'failed', 'uncertain')),
    attempts integer NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_unsent ON outbox (available_at) WHERE state IN ('pending', 'queued');
CREATE INDEX outbox_trouble ON outbox (state, id DESC) WHERE state IN ('running', 'failed', 'uncertain');
CREATE INDEX outbox_done ON outbox (updated_at) WHERE state = 'done';

CREATE TABLE audit (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    subject_id uuid NOT NULL,
    actor text NOT NULL,
    request_id text NOT NULL,
    facts jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_by_subject ON audit (subject_id, at);
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The truth about a key: written by the transaction that did the work, with the facts of its answer.
CREATE TABLE idempotency_keys (
    scope text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    answer jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
