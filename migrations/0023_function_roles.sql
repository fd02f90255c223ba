-- Formerly: 1c4686536a10a36434bf53da8673d0b8cd8e3ba3957eb48d8d0267aa4d2d7c64, which gave the role rds_iam in every mode; now the migrate command does.
-- A role for each group of functions, which may read and write the columns that its statements name and no others
-- (docs/decisions/0028). `interdomestik_app` keeps what it has: handlers of the release before connect as it.
--
-- A statement that locks a row needs UPDATE on one column of its table. Where a function changes nothing in a table whose
-- rows it locks, that column is `updated_at`, or `created_at` in a table that has no such column.

-- What the functions' roles have in common, without rights of its own: health counts the sessions of its members, and the
-- migrate command limits them.
DO $$
BEGIN
    CREATE ROLE interdomestik_functions NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['agents', 'members', 'claims', 'jobs', 'relay', 'worker', 'housekeeping', 'health'] LOOP
        name := 'interdomestik_' || name;
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        EXCEPTION WHEN duplicate_object THEN NULL;
        END;
        -- Session settings belong to the role: a SET, or a startup option, would pin the proxy's connection.
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''10s''', name);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''15s''', name);
        EXECUTE format('ALTER ROLE %I SET TimeZone = ''UTC''', name);
        EXECUTE format('GRANT interdomestik_functions TO %I', name);
    END LOOP;
END $$;
GRANT interdomestik_functions TO interdomestik_app;

-- Functions that look at more than their caller may: with their owner's rights, in a search path that no caller chooses,
-- and for those alone who call them. A trigger's function needs no right to be executed when it fires.
ALTER FUNCTION authorize(text, text[], text, uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION sees_record(uuid, text, text, uuid) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION is_written_here(text, uuid) SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION with_mail_facts(uuid, jsonb) SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION keep_mail_facts() SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION check_claim_access() SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION check_statement_sums() SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;

REVOKE EXECUTE ON FUNCTION
    authorize(text, text[], text, uuid), sees_record(uuid, text, text, uuid), is_written_here(text, uuid),
    mail_facts(uuid, jsonb), with_mail_facts(uuid, jsonb), keep_mail_facts(), check_claim_access(), check_statement_sums()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authorize(text, text[], text, uuid), is_written_here(text, uuid)
    TO interdomestik_app, interdomestik_agents, interdomestik_members, interdomestik_claims, interdomestik_jobs;
GRANT EXECUTE ON FUNCTION with_mail_facts(uuid, jsonb) TO interdomestik_app, interdomestik_worker;

-- What every function with an API does: keys, audit, and who the caller is.
GRANT SELECT, INSERT (scope, key, fingerprint), UPDATE (answer) ON idempotency_keys
    TO interdomestik_agents, interdomestik_members, interdomestik_claims, interdomestik_jobs;
GRANT SELECT (id, identity_sub, role) ON accounts
    TO interdomestik_agents, interdomestik_members, interdomestik_claims, interdomestik_jobs;
GRANT INSERT (id, action, subject_id, actor, request_id, facts) ON audit
    TO interdomestik_agents, interdomestik_members, interdomestik_claims, interdomestik_jobs, interdomestik_worker,
       interdomestik_housekeeping;

-- Jobs are written by whoever has something to tell, and not read by them: their mails have facts of other records.
GRANT INSERT (id, kind, priority, subject_id, payload) ON outbox
    TO interdomestik_agents, interdomestik_members, interdomestik_claims, interdomestik_housekeeping;
GRANT SELECT, INSERT (address, template), UPDATE (sent_at) ON greetings TO interdomestik_agents, interdomestik_members;

-- Agents: applications, decisions, clients, commissions, payouts.
GRANT SELECT (email, full_name, proven_at), INSERT (id, role, email, full_name, phone, language, terms_version),
    UPDATE (full_name, phone, language, terms_version) ON accounts TO interdomestik_agents;
GRANT SELECT, INSERT (id, application_id, city, referral_code),
    UPDATE (state, tier, city, commission_rate, application_id, decision_reason, decided_by, decided_at, version, updated_at)
    ON agents TO interdomestik_agents;
GRANT SELECT (id, number) ON members TO interdomestik_agents;
GRANT SELECT ON subscriptions, agent_clients, agent_moves, commission_moves, agent_view, commission_view, commission_record,
    statement_view, payout_view TO interdomestik_agents;
GRANT SELECT, UPDATE (state, decision_reason, decided_by, decided_at, approved_by, payout_id, updated_at)
    ON commissions TO interdomestik_agents;
GRANT SELECT, INSERT (id, month, made_by) ON payouts TO interdomestik_agents;
GRANT SELECT, INSERT (payout_id, agent_id, issued_on, total, currency) ON payout_statements TO interdomestik_agents;
GRANT USAGE ON SEQUENCE payout_numbers TO interdomestik_agents;

-- Members: registration, own data, membership, and what their agents earn by it.
GRANT SELECT (email, full_name, phone, language), INSERT (id, role, email, full_name, phone, language, terms_version),
    UPDATE (full_name, phone, language) ON accounts TO interdomestik_members;
GRANT SELECT (id, state, referral_code, commission_rate), UPDATE (updated_at) ON agents TO interdomestik_members;
GRANT SELECT, INSERT (id, country, registered_on, agent_id), UPDATE (version, updated_at) ON members TO interdomestik_members;
GRANT SELECT, INSERT (id, member_id, plan, state, starts_on, ends_on, anchor_on, period_starts_on, renewed_on, price, currency),
    UPDATE (state, starts_on, ends_on, anchor_on, period_starts_on, renewed_on, paused_on, paused_days, cancel_at_period_end,
            version, updated_at)
    ON subscriptions TO interdomestik_members;
GRANT SELECT, INSERT (member_id, agent_id) ON agent_clients TO interdomestik_members;
GRANT SELECT (id, member_id, state, period_starts_on),
    INSERT (id, agent_id, member_id, subscription_id, kind, earned_on, period_starts_on, rate, amount, currency),
    UPDATE (state, decision_reason, decided_by, decided_at, updated_at)
    ON commissions TO interdomestik_members;
GRANT SELECT ON plans, commission_moves, membership_reminders TO interdomestik_members;
GRANT SELECT (id, state), UPDATE (state, last_error, leased_until, updated_at) ON outbox TO interdomestik_members;
GRANT USAGE ON SEQUENCE member_numbers TO interdomestik_members;

-- Claims: cases, their history and their evidence.
GRANT UPDATE (created_at) ON accounts TO interdomestik_claims;
GRANT SELECT (id), UPDATE (updated_at) ON members TO interdomestik_claims;
GRANT SELECT, INSERT (id, member_id, submitted_on, category, title, company_name, description, incident_date,
                      incident_country, amount, currency),
    UPDATE (state, assignee_id, version, updated_at) ON claims TO interdomestik_claims;
GRANT SELECT, INSERT (claim_id, version, from_state, to_state, reason, decline_code, actor_role, actor_id)
    ON claim_history TO interdomestik_claims;
GRANT SELECT, INSERT (id, claim_id, slot, file_name, content_type, size, object_key),
    UPDATE (slot, object_key, state, mismatch, updated_at) ON documents TO interdomestik_claims;
GRANT SELECT ON claim_moves, claim_view, document_view TO interdomestik_claims;
GRANT USAGE ON SEQUENCE claim_numbers TO interdomestik_claims;

-- Jobs: the API for those that did not end well.
GRANT SELECT (id, kind, priority, subject_id, payload, state, attempts, last_error, created_at, updated_at),
    UPDATE (state, attempts, available_at, leased_until, last_error, replayed_at, updated_at)
    ON outbox TO interdomestik_jobs;

-- The relay moves jobs and learns nothing of what they say.
GRANT SELECT (id, kind, priority, state, attempts, available_at, leased_until, begun),
    UPDATE (state, available_at, leased_until, last_error, begun, updated_at) ON outbox TO interdomestik_relay;

-- The worker does them: mails to accounts, and the sign-ins of accounts.
GRANT SELECT (id, kind, priority, subject_id, payload, state, attempts, available_at, leased_until),
    UPDATE (state, attempts, available_at, leased_until, last_error, begun, updated_at) ON outbox TO interdomestik_worker;
GRANT SELECT (id, identity_sub, role, email, language), UPDATE (identity_sub) ON accounts TO interdomestik_worker;

-- Housekeeping: what time does to memberships, claims and documents, and what is kept no longer.
GRANT SELECT (id, number, version), UPDATE (version, updated_at) ON members TO interdomestik_housekeeping;
GRANT SELECT, UPDATE (state, ends_on, paused_on, paused_days, version, updated_at)
    ON subscriptions TO interdomestik_housekeeping;
GRANT SELECT (id, state, state_since, sla_notified_at), UPDATE (sla_notified_at) ON claims TO interdomestik_housekeeping;
GRANT SELECT ON claim_states TO interdomestik_housekeeping;
GRANT SELECT (id, claim_id, object_key, state, created_at), UPDATE (slot, state, updated_at)
    ON documents TO interdomestik_housekeeping;
GRANT SELECT, INSERT (subscription_id, period_starts_on, kind, job_id)
    ON membership_reminders TO interdomestik_housekeeping;
GRANT SELECT (id, state, updated_at), UPDATE (state, last_error, leased_until, updated_at), DELETE
    ON outbox TO interdomestik_housekeeping;
GRANT SELECT (id) ON audit TO interdomestik_housekeeping;
GRANT SELECT (address, template, sent_at), UPDATE (sent_at), DELETE ON greetings TO interdomestik_housekeeping;
GRANT SELECT (scope, key, created_at), UPDATE (created_at), DELETE ON idempotency_keys TO interdomestik_housekeeping;

-- Health counts jobs, and reads none.
GRANT SELECT (priority, state, created_at, replayed_at) ON outbox TO interdomestik_health;
