-- All statements of the health function.

-- name: server
-- Select which server answers and whether it accepts writes: its start time and address, hashed, so that a reader
-- learns neither. The used connections are the sessions of all functions' roles; the role that created their group
-- administers it, and is not one of them.
SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean) AS writable,
       left(encode(sha256(convert_to(concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
                                               inet_server_addr(), inet_server_port()), 'UTF8')), 'hex'), 12) AS server,
       (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND (usename = current_user OR usesysid IN (
            SELECT m.member FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
            WHERE g.rolname = 'interdomestik_functions' AND NOT m.admin_option))) AS used

-- name: jobs
-- Select the state of the outbox; counting stops where a higher count would say nothing more. A job waits from when it
-- was written, or was last replayed by a person, until it ends. The mails before the oldest job, if it is a mail, are
-- those of its priority or a higher one that were sent since then, including those that SES rejected or whose outcome
-- is unknown, since they used a send slot.
WITH priorities AS (
    SELECT name, (ARRAY['high', 'normal', 'low'])[:n] AS go_first
    FROM unnest(ARRAY['high', 'normal', 'low']) WITH ORDINALITY AS p (name, n)
), oldest AS (
    SELECT p.name AS priority, p.go_first, o.kind, o.since
    FROM priorities p LEFT JOIN LATERAL (
        SELECT kind, greatest(created_at, replayed_at) AS since FROM outbox
        WHERE priority = p.name AND state IN ('pending', 'queued', 'running')
        ORDER BY greatest(created_at, replayed_at) LIMIT 1) o ON true
)
SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE state IN ('pending', 'queued') LIMIT %(most)s) p) AS pending,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'failed' LIMIT %(most)s) f) AS failed,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'uncertain' LIMIT %(most)s) u) AS uncertain,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE priority = 'high' AND state IN ('failed', 'uncertain')
                              LIMIT %(most)s) h) AS high_unsolved,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'pending' AND last_error = 'circuit-open'
                              LIMIT %(most)s) c) AS held,
       (SELECT round(greatest(0, coalesce(extract(epoch FROM now() - min(created_at)), 0)), 1)::float FROM outbox
        WHERE last_error = 'circuit-open' AND state = 'pending') AS oldest_held_s,
       (SELECT jsonb_object_agg(priority, round(greatest(0, coalesce(extract(epoch FROM now() - since), 0)), 1))
        FROM oldest) AS oldest_s,
       (SELECT jsonb_object_agg(o.priority, (
            SELECT count(*) FROM (
                (SELECT FROM outbox s
                 WHERE s.state = 'done' AND s.updated_at >= greatest(o.since, now() - %(look_back)s)
                   AND s.last_error IS NULL AND s.kind = o.kind AND s.kind = 'mail' AND s.priority = ANY(o.go_first)
                 LIMIT %(most)s)
                UNION ALL
                (SELECT FROM outbox s
                 WHERE s.state IN ('failed', 'uncertain') AND s.updated_at >= greatest(o.since, now() - %(look_back)s)
                   AND s.begun AND s.kind = o.kind AND s.kind = 'mail' AND s.priority = ANY(o.go_first)
                 LIMIT %(most)s)) sent))
        FROM oldest o) AS sent
