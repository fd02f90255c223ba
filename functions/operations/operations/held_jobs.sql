-- The jobs that wait because the circuit of their service is open.

-- name: held_jobs
-- Select by kind how many jobs wait for a circuit, the age of the oldest, and when the first is tried again.
SELECT kind, count(*) AS held_jobs, round(greatest(0, extract(epoch FROM now() - min(created_at))), 1)::float AS oldest_held_s,
       min(available_at) AS held_until
FROM outbox WHERE state = 'pending' AND last_error = 'circuit-open' GROUP BY kind

-- name: release_held_jobs
-- Make the jobs of a kind due that wait for its circuit. A job that somebody else has locked is being dealt with.
WITH held AS (
    SELECT id FROM outbox WHERE state = 'pending' AND last_error = 'circuit-open' AND kind = %(kind)s
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), released AS (
    UPDATE outbox o SET available_at = now(), last_error = NULL, updated_at = now() FROM held WHERE o.id = held.id
    RETURNING 1)
SELECT count(*) AS released FROM released
