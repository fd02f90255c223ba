-- All statements of the relay. It locks several rows in the order of their ids, and skips the ones that others hold: so
-- there are no deadlocks. A job's row is the truth and its SQS message only a wake-up, so a message may arrive twice,
-- late or never. `leased_until` fences: the process that set it may finish the job, and once it is past the relay takes
-- the job again.

-- name: mark_abandoned_jobs
-- Mark jobs whose worker died: a mail that had begun may have been sent, so a person decides; any other job is safe to
-- repeat.
WITH abandoned AS (
    SELECT id FROM outbox WHERE state = 'running' AND leased_until < now() FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox o SET
    state = CASE WHEN kind = 'mail' AND begun THEN 'uncertain'
                 WHEN attempts >= %(most_attempts)s THEN 'failed' ELSE 'pending' END,
    begun = true, last_error = 'abandoned', updated_at = now()
FROM abandoned WHERE o.id = abandoned.id

-- name: claim_due_jobs
-- Claim due jobs, most urgent first; other relays skip them. A `queued` job long past its lease was lost.
WITH due AS (
    SELECT id FROM outbox
    WHERE state IN ('pending', 'queued')
      AND CASE state WHEN 'pending' THEN available_at <= now() ELSE leased_until < now() END
    ORDER BY array_position(ARRAY['high', 'normal', 'low'], priority), available_at
    LIMIT %(count)s FOR UPDATE SKIP LOCKED)
UPDATE outbox o SET state = 'queued', leased_until = %(lease)s, updated_at = now()
FROM due WHERE o.id = due.id
RETURNING o.id, o.priority

-- name: mark_published
-- Mark jobs that SQS has; if no worker takes them for long, they are published again.
WITH ours AS (
    SELECT id FROM outbox WHERE id = ANY(%(ids)s) AND state = 'queued' AND leased_until = %(lease)s
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox o SET leased_until = now() + %(patience)s, updated_at = now() FROM ours WHERE o.id = ours.id

-- name: release_jobs
-- Release jobs that SQS did not acknowledge: they wait a little and are published again.
WITH ours AS (
    SELECT id FROM outbox WHERE id = ANY(%(ids)s) AND state = 'queued' AND leased_until = %(lease)s
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox o SET state = 'pending', leased_until = NULL, available_at = now() + %(pause)s, updated_at = now()
FROM ours WHERE o.id = ours.id

-- name: missing_jobs
-- Select those of these jobs that are not there: their transaction has not committed yet, or never will.
SELECT e.id FROM unnest(%(ids)s::uuid[]) AS e(id) WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.id = e.id)
