-- All that the health room asks the database.

-- name: server
-- Who answers and whether it takes writes: its start and address, hashed, so that a reader learns neither.
SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean) AS writable,
       left(encode(sha256(convert_to(concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
                                               inet_server_addr(), inet_server_port()), 'UTF8')), 'hex'), 12) AS server,
       (SELECT count(*) FROM pg_stat_activity
        WHERE usename = current_user AND datname = current_database()) AS used

-- name: jobs
-- How the outbox stands; counting ends where the figure says enough. A job waits from when it was written, or was last
-- told to be done again by a person, until it has ended.
SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE state IN ('pending', 'queued') LIMIT %(most)s) p) AS pending,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'failed' LIMIT %(most)s) f) AS failed,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'uncertain' LIMIT %(most)s) u) AS uncertain,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE priority = 'high' AND state IN ('failed', 'uncertain')
                              LIMIT %(most)s) h) AS high_unsolved,
       (SELECT jsonb_object_agg(priority, round(greatest(0, coalesce(extract(epoch FROM now() - oldest.since), 0)), 1))
        FROM unnest(ARRAY['high', 'normal', 'low']) AS priority
        LEFT JOIN LATERAL (
            SELECT greatest(created_at, replayed_at) AS since FROM outbox o
            WHERE o.priority = priority.priority AND state IN ('pending', 'queued', 'running')
            ORDER BY greatest(created_at, replayed_at) LIMIT 1) oldest ON true) AS oldest_s
