-- All statements of housekeeping. A statement that locks several rows which others lock too, locks them in the order of
-- their ids, or skips the ones that others hold: so there are no deadlocks.

-- name: stale_documents
-- Select documents that were announced long ago and never completed.
SELECT id, object_key FROM documents
WHERE state = 'pending' AND created_at < now() - %(age)s
ORDER BY created_at LIMIT %(count)s

-- name: reject_documents
-- Reject documents whose objects are deleted, each with its audit entry.
WITH stale AS (
    SELECT id FROM documents WHERE id = ANY(%(ids)s) AND state = 'pending' ORDER BY id FOR UPDATE
), rejected AS (
    UPDATE documents d SET state = 'rejected', slot = NULL, updated_at = now()
    FROM stale WHERE d.id = stale.id
    RETURNING d.id, d.claim_id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'document.expired', id, 'housekeeping', %(request_id)s, jsonb_build_object('claim_id', claim_id)
FROM rejected
RETURNING id

-- name: overdue_claims
-- Select claims that have been in a state longer than promised, of which the claims desk does not know yet.
SELECT c.id FROM claims c JOIN claim_states t USING (state)
WHERE c.sla_notified_at IS NULL AND c.state_since + t.breach_after < now()
ORDER BY c.state_since LIMIT %(count)s

-- name: notify_overdue_claims
-- Notify the claims desk, once per claim and state: the note, its job and its audit entry commit together.
WITH late AS (
    SELECT c.id, n.job_id, extract(day FROM t.breach_after)::text AS days
    FROM claims c
    JOIN claim_states t USING (state)
    JOIN unnest(%(claim_ids)s::uuid[], %(job_ids)s::uuid[]) AS n(claim_id, job_id) ON n.claim_id = c.id
    WHERE c.sla_notified_at IS NULL AND c.state_since + t.breach_after < now()
    ORDER BY c.id FOR NO KEY UPDATE OF c
), notified AS (
    UPDATE claims c SET sla_notified_at = now() FROM late WHERE c.id = late.id
    RETURNING c.id, late.job_id, c.state, c.state_since, late.days
), mails AS (
    SELECT job_id, 'low' AS priority, 'staff-sla-breach' AS template, id AS subject_id, NULL::uuid AS account_id,
           jsonb_build_object('state', state, 'state_since', state_since, 'days', days) AS facts
    FROM notified
), mailed AS (
    {enqueue_mails})
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'claim.overdue_noticed', id, 'housekeeping', %(request_id)s, jsonb_build_object('state', state)
FROM notified
RETURNING id

-- name: update_subscription_states
-- Write the states that memberships have by their dates, and the end of pauses whose days are used up.
WITH due AS (
    SELECT m.id, s.state = 'paused' AS resumes FROM members m JOIN subscriptions s ON s.member_id = m.id
    WHERE (s.state IN ('active', 'past_due') AND s.ends_on < %(today)s OR s.state = 'paused' AND s.paused_on < %(today)s)
      AND s.state <> membership_state(s, %(today)s)
    ORDER BY m.id LIMIT %(count)s FOR NO KEY UPDATE OF m, s SKIP LOCKED
), moved AS (
    UPDATE subscriptions s SET
        state = membership_state(s, %(today)s), ends_on = membership_end(s, %(today)s), paused_on = NULL,
        paused_days = paused_days_on(s, %(today)s), version = s.version + 1, updated_at = now()
    FROM due
    WHERE s.member_id = due.id
    RETURNING s.member_id,
              CASE WHEN due.resumes AND s.state = 'active' THEN 'resumed' ELSE 'became_' || s.state END AS event
), changed AS (
    UPDATE members m SET version = m.version + 1, updated_at = now() FROM moved WHERE m.id = moved.member_id
)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'membership.' || event, member_id, 'housekeeping', %(request_id)s, '{}' FROM moved
RETURNING id

-- name: remind_members
-- Insert the reminders that are due, once for each end (a pause moves it), each with its mail and its audit entry.
-- Earlier reminders that were not sent yet are dropped. A concurrent run finds the row of a reminder and writes
-- nothing, unless a change of the membership has dropped its mail.
WITH due AS (
    SELECT m.id, m.number, s.id AS subscription_id, s.period_starts_on, s.plan, s.price, s.currency, s.ends_on,
           reminder_due(s, %(today)s, %(lateness)s) AS kind
    FROM members m JOIN subscriptions s ON s.member_id = m.id
    WHERE s.ends_on BETWEEN %(today)s - grace_days() - %(lateness)s AND %(today)s + 30
      AND NOT EXISTS (
          SELECT FROM membership_reminders r LEFT JOIN outbox o ON o.id = r.job_id
          WHERE r.subscription_id = s.id AND r.period_starts_on = s.period_starts_on AND r.ends_on = s.ends_on
            AND r.kind = reminder_due(s, %(today)s, %(lateness)s) AND o.last_error IS DISTINCT FROM 'superseded')
      AND reminder_due(s, %(today)s, %(lateness)s) IS NOT NULL
    ORDER BY m.id LIMIT cardinality(%(job_ids)s) FOR NO KEY UPDATE OF m, s SKIP LOCKED
), numbered AS (
    SELECT due.*, (%(job_ids)s)[row_number() OVER (ORDER BY due.id)] AS job_id FROM due
), noted AS (
    INSERT INTO membership_reminders (subscription_id, period_starts_on, kind, ends_on, job_id)
    SELECT subscription_id, period_starts_on, kind, ends_on, job_id FROM numbered
    ON CONFLICT (subscription_id, period_starts_on, kind, ends_on) DO UPDATE SET job_id = EXCLUDED.job_id
    -- PostgreSQL reads the row as it is now, but the jobs as they were when this statement began. The mail that another
    -- sweep has written meanwhile is therefore not found, and the row keeps it.
    WHERE (SELECT o.last_error FROM outbox o WHERE o.id = membership_reminders.job_id) = 'superseded'
    RETURNING job_id
), dropped AS (
    UPDATE outbox o SET state = 'done', last_error = 'superseded', leased_until = NULL, updated_at = now()
    FROM membership_reminders r JOIN due ON due.subscription_id = r.subscription_id
    WHERE o.id = r.job_id AND o.state IN ('pending', 'queued', 'failed')
), mails AS (
    SELECT n.job_id, 'low' AS priority,
           CASE n.kind WHEN '30-days' THEN 'membership-ends-soon' WHEN '7-days' THEN 'membership-ends-shortly'
                       WHEN 'last-day' THEN 'membership-ends-today' ELSE 'membership-ended' END AS template,
           n.id AS subject_id, n.id AS account_id,
           jsonb_build_object(
               'member_number', n.number, 'plan', n.plan, 'price', n.price::text, 'currency', n.currency,
               'ends_on', n.ends_on, 'renewable_until', n.ends_on + grace_days()) AS facts
    FROM numbered n JOIN noted USING (job_id)
), mailed AS (
    {enqueue_mails})
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'membership.reminded', n.id, 'housekeeping', %(request_id)s, jsonb_build_object('kind', n.kind)
FROM numbered n JOIN noted USING (job_id)
RETURNING id

-- name: delete_old_greetings
-- Delete addresses that may get unsolicited mail again.
DELETE FROM greetings WHERE (address, template) IN (
    SELECT address, template FROM greetings WHERE sent_at < now() - %(age)s
    ORDER BY sent_at LIMIT %(count)s FOR UPDATE SKIP LOCKED)
RETURNING template

-- name: delete_old_keys
-- Delete idempotency keys that have expired.
DELETE FROM idempotency_keys WHERE (scope, key) IN (
    SELECT scope, key FROM idempotency_keys WHERE created_at < now() - %(age)s
    ORDER BY created_at LIMIT %(count)s FOR UPDATE SKIP LOCKED)
RETURNING key

-- name: delete_old_jobs
-- Delete jobs that were finished or dismissed long ago.
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE state IN ('done', 'dismissed') AND updated_at < now() - %(age)s
    ORDER BY updated_at LIMIT %(count)s FOR UPDATE SKIP LOCKED)
RETURNING id
