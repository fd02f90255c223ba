-- What the system holds, to be compared with clients' answers. Read as the database's owner.

-- name: people
-- All effects on the accounts with these addresses, one row for each account.
SELECT a.id::text AS id, a.email, a.role,
       (SELECT count(*) FROM members m WHERE m.id = a.id) AS members,
       (SELECT count(*) FROM agents g WHERE g.id = a.id) AS agents,
       (SELECT count(*) FROM subscriptions s WHERE s.member_id = a.id) AS subscriptions,
       (SELECT s.price::text FROM subscriptions s WHERE s.member_id = a.id LIMIT 1) AS price,
       (SELECT c.agent_id::text FROM agent_clients c WHERE c.member_id = a.id) AS agent,
       (SELECT coalesce(json_agg(c.kind || ' ' || c.amount ORDER BY c.kind, c.id), '[]') FROM commissions c
        WHERE c.member_id = a.id) AS commissions,
       (SELECT json_build_array(count(*) FILTER (WHERE c.state = 'void'), count(u.id)) FROM commissions c
        LEFT JOIN audit u ON u.subject_id = c.id AND u.action = 'commission.voided'
        WHERE c.member_id = a.id) AS voided,
       (SELECT coalesce(json_object_agg(u.action, u.n), '{}') FROM
           (SELECT action, count(*) AS n FROM audit WHERE subject_id = a.id GROUP BY action) u) AS audit,
       (SELECT coalesce(json_object_agg(o.job, o.n), '{}') FROM
           (SELECT coalesce(payload->>'template', kind) || ' ' || state AS job, count(*) AS n
            FROM outbox WHERE subject_id = a.id GROUP BY 1) o) AS jobs
FROM accounts a WHERE a.email = ANY(%(emails)s)

-- name: strangers
-- Accounts that no accepted call of the run has created.
SELECT id::text AS id FROM accounts WHERE role IN ('member', 'agent') AND NOT email = ANY(%(emails)s)

-- name: claims
-- All effects on the claims of these members; `broken` counts transitions that do not follow from the previous one.
SELECT c.id::text AS id, c.number, c.member_id::text AS member, c.title, c.state, c.version,
       h.steps, h.broken, h.last_state,
       (SELECT coalesce(json_object_agg(u.action, u.n), '{}') FROM
           (SELECT action, count(*) AS n FROM audit WHERE subject_id = c.id GROUP BY action) u) AS audit,
       (SELECT coalesce(json_object_agg(o.job, o.n), '{}') FROM
           (SELECT coalesce(payload->>'template', kind) || ' ' || state AS job, count(*) AS n
            FROM outbox WHERE subject_id = c.id GROUP BY 1) o) AS jobs,
       (SELECT coalesce(json_object_agg(d.id, d.state || ' ' || d.size), '{}') FROM documents d
        WHERE d.claim_id = c.id) AS documents
FROM claims c,
     LATERAL (SELECT count(*) AS steps,
                     count(*) FILTER (WHERE s.from_state IS DISTINCT FROM s.before OR s.version <> s.row) AS broken,
                     (array_agg(s.to_state ORDER BY s.version DESC))[1] AS last_state
              FROM (SELECT version, from_state, to_state, row_number() OVER (ORDER BY version) AS row,
                           lag(to_state) OVER (ORDER BY version) AS before
                    FROM claim_history WHERE claim_id = c.id) s) h
WHERE c.member_id::text = ANY(%(members)s)

-- name: keys
-- How many idempotency rows each key has.
SELECT key, count(*) AS n FROM idempotency_keys WHERE key = ANY(%(keys)s) GROUP BY key

-- name: open_jobs
-- Jobs that are not done, by state.
SELECT state, count(*) AS n FROM outbox WHERE state <> 'done' GROUP BY state

-- name: jobs_by_state
-- All jobs, by state: those that are done show that the query sees any.
SELECT state, count(*) AS n FROM outbox GROUP BY state

-- name: deadlocks
-- Deadlocks that the server has broken since it was started.
SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()
