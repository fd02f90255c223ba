-- All that the worker does to the database, one job at a time.
--
-- A job's row is the truth and its SQS message only a wake-up, so a message may come twice, late or never.
-- `leased_until` fences: who set it may finish the job, and once it is past the relay takes the job up again.

-- name: postpone_job
-- Its service's circuit is open: it waits, and no attempt is counted, since none was made.
UPDATE outbox SET
    state = 'pending', last_error = 'circuit-open', leased_until = NULL, available_at = now() + %(delay)s, updated_at = now()
WHERE id = %(id)s AND kind = %(kind)s AND state IN ('pending', 'queued') AND available_at <= now()

-- name: claim_job
-- A worker takes a job: one of them, however many messages there are.
UPDATE outbox SET state = 'running', attempts = attempts + 1, leased_until = %(lease)s, begun = false, updated_at = now()
WHERE id = %(id)s AND state IN ('pending', 'queued') AND available_at <= now()

-- name: job_with_recipient
-- The job, and whom it is for. The facts of its mail are those of its event: kept with it since it was written, but for
-- jobs written before facts were kept, which tell what there is to say now.
SELECT o.id, o.kind, o.priority, o.state, o.attempts, o.leased_until, r.language, r.role, {template_of_job} AS template,
       CASE WHEN r.email !~ '@address[.]invalid$' THEN r.email END AS email,
       CASE WHEN o.kind <> 'mail' OR o.payload->'facts' ? 'full_name' THEN o.payload
            ELSE with_mail_facts(o.subject_id, o.payload) END AS payload
FROM outbox o
LEFT JOIN accounts r ON r.id = {account_of_job}
WHERE o.id = %(id)s

-- name: mark_job_begun
-- Right before a mail leaves, by the worker that still has its job.
UPDATE outbox SET begun = true, updated_at = now()
WHERE id = %(id)s AND leased_until = %(lease)s AND state = 'running'
RETURNING id

-- name: record_job_outcome
-- What became of a job, by the worker that had it; a job given up on meanwhile is settled by the truth.
-- A job that a guard of ours gave back was not tried: its attempt does not count.
UPDATE outbox SET
    state = %(state)s, last_error = %(error)s, updated_at = now(), available_at = now() + %(delay)s,
    leased_until = NULL, begun = true, attempts = attempts - CASE WHEN %(counted)s THEN 0 ELSE 1 END
WHERE id = %(id)s AND leased_until = %(lease)s AND state IN ('running', 'uncertain')

-- name: link_identity
-- Who signs in as this account; an account keeps the identity it has. One that is another account's is refused by its
-- constraint. The audit names the job as the request.
WITH linked AS (
    UPDATE accounts SET identity_sub = %(sub)s
    WHERE id = %(account_id)s AND email = %(email)s AND role = %(role)s AND identity_sub IS NULL
    RETURNING id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'account.identity_linked', id, 'worker', %(job_id)s::text, '{}' FROM linked

-- name: require_linked
-- The account must be the one that the identity was made for: of that address and role, without another identity.
SELECT require(EXISTS (
    SELECT FROM accounts
    WHERE id = %(account_id)s AND email = %(email)s AND role = %(role)s AND identity_sub = %(sub)s), 'identity-not-linked')
