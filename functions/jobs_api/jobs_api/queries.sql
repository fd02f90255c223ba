-- All that admins do to jobs.

-- name: jobs
-- A page of jobs that did not end well.
SELECT id, to_jsonb(j) AS facts FROM (
    SELECT id, kind, {template_of_job} AS template, priority, state, attempts, last_error, dismissal,
           subject_id, created_at, updated_at
    FROM outbox o) j
WHERE state = %(state)s AND id < %(after)s
ORDER BY id DESC LIMIT %(count)s

-- name: require_job
-- The job exists.
SELECT require(EXISTS (SELECT FROM outbox WHERE id = %(id)s), 'not-found')

-- name: require_failed
-- Only what did not end well may run again.
SELECT require((SELECT state IN ('failed', 'uncertain') FROM outbox WHERE id = %(id)s FOR UPDATE), 'job-not-failed')

-- name: replay
-- A person has decided that the job is to be done again.
UPDATE outbox SET
    state = 'pending', attempts = 0, available_at = now(), leased_until = NULL, last_error = NULL, replayed_at = now(),
    updated_at = now()
WHERE id = %(id)s

-- name: dismiss
-- A person has decided that the job is never to be done again.
UPDATE outbox SET state = 'dismissed', dismissal = %(reason)s, leased_until = NULL, updated_at = now() WHERE id = %(id)s

-- name: job
-- A job as admins are told.
SELECT to_jsonb(j) AS facts FROM (
    SELECT id, kind, {template_of_job} AS template, priority, state, attempts, last_error, dismissal,
           subject_id, created_at, updated_at
    FROM outbox o WHERE id = %(id)s) j
