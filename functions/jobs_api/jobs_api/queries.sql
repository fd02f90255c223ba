-- All statements of admins about jobs.

-- name: jobs
-- Select a page of jobs in these states.
SELECT j.id, to_jsonb(j) AS facts FROM (
    SELECT {columns_of_job} FROM outbox o
    WHERE o.state = ANY(%(states)s::text[]) AND o.id < %(after)s
    ORDER BY o.id DESC LIMIT %(count)s) j
ORDER BY j.id DESC

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
SELECT to_jsonb(j) AS facts FROM (SELECT {columns_of_job} FROM outbox o WHERE o.id = %(id)s) j
