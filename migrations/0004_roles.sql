-- Formerly: 14eb7c105a7c7e333b2e6ccb4225cd187651ff4e9a325ab7143fa94b4d194e4e, which gave the role rds_iam in every mode; now the migrate command does.
-- The role the functions connect as: it reads and writes rows, and changes no history.

DO $$
BEGIN
    CREATE ROLE interdomestik_app LOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;

-- Session settings belong to the role: a SET, or a startup option, would pin the proxy's connection.
ALTER ROLE interdomestik_app SET statement_timeout = '10s';
ALTER ROLE interdomestik_app SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE interdomestik_app SET TimeZone = 'UTC';

GRANT SELECT ON ALL TABLES IN SCHEMA public TO interdomestik_app;
GRANT INSERT, UPDATE ON accounts, agents, members, subscriptions, commissions, claims, documents TO interdomestik_app;
GRANT INSERT ON agent_clients, claim_history, audit TO interdomestik_app;
GRANT INSERT, UPDATE, DELETE ON outbox, idempotency_keys TO interdomestik_app;
GRANT USAGE ON SEQUENCE member_numbers, claim_numbers TO interdomestik_app;
