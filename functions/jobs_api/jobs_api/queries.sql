-- All statements of admins about jobs.

-- name: jobs
-- Select a page of jobs in one of the states failed, uncertain or dismissed.
SELECT id, to_jsonb(j) AS facts FROM (
    SELECT id, kind, {template_of_job} AS template, priority, state, attempts, last_error, dismissal,
           subject_id, created_at, updated_at
    FROM outbox o) j
WHERE state = %(state)s AND id < %(after)s
ORDER BY id DESC LIMIT %(count)s

-- name: require_job
-- Require that the job exists.
SELECT require(EXISTS (SELECT FROM outbox WHERE id = %(id)s), 'not-found')

-- name: require_failed
-- Require a failed or uncertain job: only such a job may be repeated or dismissed.
SELECT require((SELECT state IN ('failed', 'uncertain') FROM outbox WHERE id = %(id)s FOR UPDATE), 'job-not-failed')

-- name: replay
-- Make the job pending again, as a person has decided.
UPDATE outbox SET
    state = 'pending', attempts = 0, available_at = now(), leased_until = NULL, last_error = NULL, replayed_at = now(),
    updated_at = now()
WHERE id = %(id)s

-- name: dismiss
-- Dismiss the job for good, as a person has decided.
UPDATE outbox SET state = 'dismissed', dismissal = %(reason)s, leased_until = NULL, updated_at = now() WHERE id = %(id)s

-- name: job
-- Select a job as admins see it.
SELECT to_jsonb(j) AS facts FROM (
    SELECT id, kind, {template_of_job} AS template, priority, state, attempts, last_error, dismissal,
           subject_id, created_at, updated_at
    FROM outbox o WHERE id = %(id)s) j
