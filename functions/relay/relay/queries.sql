-- All that the relay does to the database. It takes several rows at once, in the order of their ids, and leaves those to
-- others that they hold: nobody waits in a circle.
--
-- A job's row is the truth and its SQS message only a wake-up, so a message may come twice, late or never.
-- `leased_until` fences: who set it may finish the job, and once it is past the relay takes the job up again.

-- name: mark_abandoned_jobs
-- Jobs whose worker died: a mail that had begun may have left, so a person decides; all else is safe to do again.
WITH abandoned AS (
    SELECT id FROM outbox WHERE state = 'running' AND leased_until < now() FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox o SET
    state = CASE WHEN kind = 'mail' AND begun THEN 'uncertain'
                 WHEN attempts >= %(most_attempts)s THEN 'failed' ELSE 'pending' END,
    begun = true, last_error = 'abandoned', updated_at = now()
FROM abandoned WHERE o.id = abandoned.id

-- name: claim_due_jobs
-- The relay takes due jobs, most urgent first; other relays skip them. `queued` long past its lease was lost.
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
-- SQS has them; if no worker is heard of for long, they are published again.
WITH ours AS (
    SELECT id FROM outbox WHERE id = ANY(%(ids)s) AND state = 'queued' AND leased_until = %(lease)s
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox o SET leased_until = now() + %(patience)s, updated_at = now() FROM ours WHERE o.id = ours.id

-- name: release_jobs
-- SQS did not acknowledge them: they wait a little and are tried again.
WITH ours AS (
    SELECT id FROM outbox WHERE id = ANY(%(ids)s) AND state = 'queued' AND leased_until = %(lease)s
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox o SET state = 'pending', leased_until = NULL, available_at = now() + %(pause)s, updated_at = now()
FROM ours WHERE o.id = ours.id
