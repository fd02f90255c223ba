-- What the front page reads of the database, as its owner. Ids of jobs and entries begin with their time, so the newest
-- are found by the primary key.

-- name: count_jobs
-- Count the jobs by state, with the seconds since the oldest was written, or was last replayed by a person.
SELECT state, count(*) AS jobs, round(extract(epoch FROM now() - min(greatest(created_at, replayed_at))))::int AS oldest_s
FROM outbox GROUP BY state

-- name: list_unfinished_jobs
-- Select the oldest jobs that are not done, each with why it waits or failed.
SELECT id, kind, coalesce(payload->>'template', '') AS template, priority, state, attempts,
       coalesce(last_error, '') AS error, created_at, coalesce(payload->'origin'->>'request_id', '') AS request_id
FROM outbox WHERE state IN ('pending', 'queued', 'running', 'uncertain', 'failed')
ORDER BY id LIMIT %(count)s

-- name: list_jobs
-- Select those of the newest jobs that requests with these ids or traces have caused.
SELECT id, kind, coalesce(payload->>'template', '') AS template, priority, state, attempts,
       coalesce(last_error, '') AS error, created_at, payload->'origin'->>'request_id' AS request_id
FROM (SELECT * FROM outbox ORDER BY id DESC LIMIT %(most)s) newest
WHERE payload->'origin'->>'request_id' = ANY(%(ids)s)
   OR split_part(payload->'origin'->>'traceparent', '-', 2) = ANY(%(ids)s)
ORDER BY id

-- name: list_entries
-- Select those of the newest audit entries that requests with these ids have caused.
SELECT at, action, actor, subject_id, request_id
FROM (SELECT * FROM audit ORDER BY id DESC LIMIT %(most)s) newest
WHERE request_id = ANY(%(ids)s)
ORDER BY id
