-- People: accounts, agents, members, their subscriptions and what agents earn by them.

-- Stops a transaction with the name of a problem that the API knows (shared/http/problems.py).
-- A whole use case leaves in one flight, so a precondition has to be a statement among the others.
CREATE FUNCTION require(condition boolean, problem text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF condition IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'IR001', MESSAGE = problem;
    END IF;
END $$;

-- Numbers that people read out: MEM-2026-000123. Six digits at least; a seventh is kept, not cut.
CREATE FUNCTION reading_number(prefix text, n bigint) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT prefix || '-' || to_char(now() AT TIME ZONE 'UTC', 'YYYY') || '-'
        || lpad(n::text, greatest(6, length(n::text)), '0')
$$;

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'IR002', MESSAGE = TG_TABLE_NAME || ' is append-only';
END $$;

CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    identity_sub text CONSTRAINT accounts_identity_sub_key UNIQUE,
    role text NOT NULL CHECK (role IN ('member', 'agent', 'staff', 'admin')),
    email text NOT NULL CONSTRAINT accounts_email_key UNIQUE CHECK (email = lower(email)),
    full_name text NOT NULL CHECK (full_name <> ''),
    phone text,
    language text NOT NULL CHECK (language IN ('sq', 'en', 'mk', 'sr')),
    terms_version text,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The account that an identity is; null where there is none.
CREATE FUNCTION account_of(sub text) RETURNS uuid
LANGUAGE sql STABLE AS $$ SELECT id FROM accounts WHERE identity_sub = sub $$;

CREATE TABLE agents (
    id uuid PRIMARY KEY REFERENCES accounts,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'active', 'suspended', 'rejected')),
    tier text NOT NULL DEFAULT 'standard' CHECK (tier IN ('standard', 'premium', 'vip')),
    city text NOT NULL,
    referral_code text NOT NULL CONSTRAINT agents_referral_code_key UNIQUE,
    commission_rate numeric(5, 4) CHECK (commission_rate BETWEEN 0 AND 1),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX agents_by_state ON agents (state, id DESC);

CREATE TABLE agent_moves (
    decision text PRIMARY KEY,
    from_state text NOT NULL,
    to_state text NOT NULL,
    UNIQUE (from_state, to_state)
);
INSERT INTO agent_moves VALUES
    ('approve', 'pending', 'active'),
    ('reject', 'pending', 'rejected'),
    ('suspend', 'active', 'suspended'),
    ('reinstate', 'suspended', 'active');

CREATE FUNCTION check_agent_move() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require(
        EXISTS (SELECT FROM agent_moves WHERE from_state = OLD.state AND to_state = NEW.state),
        'decision-not-allowed');
    RETURN NEW;
END $$;
CREATE TRIGGER agents_move BEFORE UPDATE OF state ON agents
    FOR EACH ROW EXECUTE FUNCTION check_agent_move();

CREATE SEQUENCE member_numbers;
CREATE TABLE members (
    id uuid PRIMARY KEY REFERENCES accounts,
    number text NOT NULL CONSTRAINT members_number_key UNIQUE
        DEFAULT reading_number('MEM', nextval('member_numbers')),
    country text NOT NULL CHECK (country IN ('XK', 'MK', 'AL')),
    agent_id uuid REFERENCES agents,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE member_numbers OWNED BY members.number;

CREATE TABLE plans (
    plan text PRIMARY KEY,
    price numeric(12, 2) NOT NULL CHECK (price > 0),
    currency text NOT NULL DEFAULT 'EUR',
    covers text NOT NULL
);
INSERT INTO plans (plan, price, covers) VALUES
    ('basic', 15, '1 person'),
    ('standard', 20, '1 person'),
    ('family', 35, '5 people'),
    ('business', 95, '10 vehicles or properties');

-- One row per member, extended by each renewal; its price is the one at sign-up.
CREATE TABLE subscriptions (
    id uuid PRIMARY KEY,
    member_id uuid NOT NULL CONSTRAINT subscriptions_member_key UNIQUE REFERENCES members,
    plan text NOT NULL REFERENCES plans,
    state text NOT NULL CHECK (state IN ('active', 'past_due', 'paused', 'canceled', 'expired')),
    starts_on date NOT NULL,
    ends_on date NOT NULL,
    price numeric(12, 2) NOT NULL,
    currency text NOT NULL,
    cancel_at_period_end boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_on > starts_on)
);
CREATE INDEX subscriptions_by_end ON subscriptions (ends_on) WHERE state IN ('active', 'past_due');

-- Whether a subscription opens the services on a day: active until its end, or past due for 14 days more.
CREATE FUNCTION gives_access(state text, ends_on date, day date) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT (state = 'active' AND day <= ends_on) OR (state = 'past_due' AND day <= ends_on + 14)
$$;

CREATE TABLE agent_clients (
    member_id uuid PRIMARY KEY REFERENCES members,
    agent_id uuid NOT NULL REFERENCES agents,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX agent_clients_by_agent ON agent_clients (agent_id, member_id DESC);

CREATE TABLE commissions (
    id uuid PRIMARY KEY,
    agent_id uuid NOT NULL REFERENCES agents,
    member_id uuid NOT NULL REFERENCES members,
    subscription_id uuid NOT NULL REFERENCES subscriptions,
    kind text NOT NULL CHECK (kind IN ('new', 'renewal')),
    period_starts_on date NOT NULL,
    rate numeric(5, 4) NOT NULL CHECK (rate BETWEEN 0 AND 1),
    amount numeric(12, 2) NOT NULL CHECK (amount >= 0),
    currency text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'paid', 'void')),
    approved_by uuid REFERENCES accounts CHECK (approved_by <> agent_id),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT commissions_once_a_period UNIQUE (subscription_id, period_starts_on)
);
CREATE INDEX commissions_by_agent ON commissions (agent_id, id DESC);

CREATE FUNCTION check_commission_move() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require(
        (OLD.state, NEW.state) IN
            (('pending', 'approved'), ('approved', 'paid'), ('pending', 'void'), ('approved', 'void')),
        'commission-move-not-allowed');
    RETURN NEW;
END $$;
CREATE TRIGGER commissions_move BEFORE UPDATE OF state ON commissions
    FOR EACH ROW EXECUTE FUNCTION check_commission_move();

-- What the API says of an agent, a member and a commission.
CREATE VIEW agent_view AS
SELECT g.id, g.state, a.full_name, a.email, a.phone, g.city, a.language, g.tier, g.referral_code,
       g.created_at, g.version, a.identity_sub
FROM agents g JOIN accounts a USING (id);

CREATE VIEW member_view AS
SELECT m.id, m.number, a.full_name, a.email, a.phone, m.country, a.language,
       CASE WHEN m.agent_id IS NOT NULL
            THEN jsonb_build_object('id', m.agent_id, 'full_name', aa.full_name) END AS agent,
       jsonb_build_object('plan', s.plan, 'state', s.state, 'starts_on', s.starts_on, 'ends_on', s.ends_on,
                          'price', s.price::text, 'currency', s.currency,
                          'cancel_at_period_end', s.cancel_at_period_end) AS membership,
       m.created_at, m.version, a.identity_sub
FROM members m
JOIN accounts a USING (id)
JOIN subscriptions s ON s.member_id = m.id
LEFT JOIN accounts aa ON aa.id = m.agent_id;

CREATE VIEW client_view AS
SELECT m.id, m.number, a.full_name, s.state AS membership_state, s.ends_on AS membership_ends_on, c.agent_id
FROM agent_clients c
JOIN members m ON m.id = c.member_id
JOIN accounts a ON a.id = m.id
JOIN subscriptions s ON s.member_id = m.id;

CREATE VIEW commission_view AS
SELECT c.id, c.kind, c.state, c.rate::text AS rate, c.amount::text AS amount, c.currency,
       m.number AS member_number, c.created_at, c.agent_id
FROM commissions c JOIN members m ON m.id = c.member_id;
