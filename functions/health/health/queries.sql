-- All that the health room asks the database.

-- name: server
-- Who answers and whether it takes writes: its start and address, hashed, so that a reader learns neither.
SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean) AS writable,
       left(encode(sha256(convert_to(concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
                                               inet_server_addr(), inet_server_port()), 'UTF8')), 'hex'), 12) AS server,
       (SELECT count(*) FROM pg_stat_activity
        WHERE usename = current_user AND datname = current_database()) AS used

-- name: jobs
-- How the outbox stands; counting ends where the figure says enough.
SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE state IN ('pending', 'queued') LIMIT %(most)s) p) AS pending,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE state IN ('failed', 'uncertain') LIMIT %(most)s) f) AS failed,
       greatest(0, extract(epoch FROM now() - (SELECT min(available_at) FROM outbox WHERE state IN ('pending', 'queued'))))
           ::float8 AS oldest_pending_s
