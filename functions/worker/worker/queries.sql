-- All statements of the worker, for one job at a time. A job's row is the truth and its SQS message only a wake-up, so
-- a message may arrive twice, late or never. `leased_until` fences: the process that set it may finish the job, and
-- once it is past the relay takes the job again.

-- name: postpone_job
-- Postpone a job whose service's circuit is open; no attempt is counted, since none was made.
UPDATE outbox SET
    state = 'pending', last_error = 'circuit-open', leased_until = NULL, available_at = now() + %(delay)s, updated_at = now()
WHERE id = %(id)s AND kind = %(kind)s AND state IN ('pending', 'queued') AND available_at <= now()

-- name: claim_job
-- Claim a job: only one worker succeeds, however many messages there are.
UPDATE outbox SET state = 'running', attempts = attempts + 1, leased_until = %(lease)s, begun = false, updated_at = now()
WHERE id = %(id)s AND state IN ('pending', 'queued') AND available_at <= now()

-- name: job_with_recipient
-- Select the job and its recipient. The facts of its mail are those of its event, stored with it when it was written;
-- jobs from before facts were stored get the current ones.
SELECT o.id, o.kind, o.priority, o.state, o.attempts, o.leased_until, r.language, r.role, {template_of_job} AS template,
       CASE WHEN r.email !~ '@address[.]invalid$' THEN r.email END AS email,
       CASE WHEN o.kind <> 'mail' OR o.payload->'facts' ? 'full_name' THEN o.payload
            ELSE with_mail_facts(o.subject_id, o.payload) END AS payload
FROM outbox o
LEFT JOIN accounts r ON r.id = {account_of_job}
WHERE o.id = %(id)s

-- name: mark_job_begun
-- Mark the job as begun right before its mail is sent, by the worker that still owns it.
UPDATE outbox SET begun = true, updated_at = now()
WHERE id = %(id)s AND leased_until = %(lease)s AND state = 'running'
RETURNING id

-- name: record_job_outcome
-- Record the outcome of a job, by the worker that ran it, also if the job was marked as abandoned meanwhile. If a rate
-- limiter or circuit postponed the job, its attempt does not count.
UPDATE outbox SET
    state = %(state)s, last_error = %(error)s, updated_at = now(), available_at = now() + %(delay)s,
    leased_until = NULL, begun = true, attempts = attempts - CASE WHEN %(counted)s THEN 0 ELSE 1 END
WHERE id = %(id)s AND leased_until = %(lease)s AND state IN ('running', 'uncertain')

-- name: link_identity
-- Link the identity to the account; an account keeps the identity that it has. An identity of another account violates
-- a constraint. The audit names the job as the request.
WITH linked AS (
    UPDATE accounts SET identity_sub = %(sub)s
    WHERE id = %(account_id)s AND email = %(email)s AND role = %(role)s AND identity_sub IS NULL
    RETURNING id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'account.identity_linked', id, 'worker', %(job_id)s::text, '{}' FROM linked

-- name: require_linked
-- Require that the account is the one that the identity was created for: of that address and role, and linked to it.
SELECT require(EXISTS (
    SELECT FROM accounts
    WHERE id = %(account_id)s AND email = %(email)s AND role = %(role)s AND identity_sub = %(sub)s), 'identity-not-linked')
