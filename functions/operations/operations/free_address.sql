-- All statements that free an address, in the lock order accounts, agents, members, subscriptions, commissions, outbox,
-- audit. The account is locked first and written last: its row is locked throughout.

-- name: lock_account
-- Lock the account as firmly as the final change of its address needs.
SELECT FROM accounts WHERE email = %(email)s FOR UPDATE

-- name: close_account
-- Unlink the sign-in, so that nobody can prove the address from now on.
UPDATE accounts SET identity_sub = NULL
WHERE email = %(email)s AND proven_at IS NULL AND role IN ('member', 'agent', 'former')

-- name: require_not_staff
-- Require that the address is not a staff member's, who got it from an operator.
SELECT require(
    NOT EXISTS (SELECT FROM accounts WHERE email = %(email)s AND role IN ('staff', 'admin')), 'account-of-staff')

-- name: require_not_proven
-- Require that the address is not proven: one whose owner has signed in stays theirs.
SELECT require(NOT EXISTS (SELECT FROM accounts WHERE email = %(email)s AND proven_at IS NOT NULL), 'address-proven')

-- name: close_agent
-- Reject an application, suspend an agent: the referral code of an account that nobody has must not earn anything.
UPDATE agents g SET
    state = CASE g.state WHEN 'pending' THEN 'rejected' ELSE 'suspended' END, version = g.version + 1, updated_at = now()
FROM accounts a WHERE a.email = %(email)s AND g.id = a.id AND g.state IN ('pending', 'active')

-- name: next_version
-- Count a change of the member's record, unless the membership is canceled already.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM accounts a JOIN subscriptions s ON s.member_id = a.id
WHERE a.email = %(email)s AND m.id = a.id AND s.state <> 'canceled'

-- name: end_membership
-- Cancel the membership: nobody could use it, or be told about it.
UPDATE subscriptions s SET state = 'canceled', cancel_at_period_end = true, version = s.version + 1, updated_at = now()
FROM accounts a WHERE a.email = %(email)s AND s.member_id = a.id AND s.state <> 'canceled'

-- name: silence_reminder
-- Insert the reminder of the end as if it were sent, so that nobody gets it.
INSERT INTO membership_reminders (subscription_id, period_starts_on, kind, ends_on, job_id)
SELECT s.id, s.period_starts_on, 'ended', s.ends_on, gen_random_uuid()
FROM subscriptions s JOIN accounts a ON a.id = s.member_id WHERE a.email = %(email)s
ON CONFLICT DO NOTHING

-- name: void_commissions
-- Void what was earned by a member who never signed in, each with its audit entry.
WITH theirs AS (
    SELECT c.id FROM commissions c JOIN accounts a ON a.id = c.member_id
    WHERE a.email = %(email)s AND c.state IN ('pending', 'approved')
    ORDER BY c.id FOR NO KEY UPDATE OF c
), voided AS (
    UPDATE commissions c SET
        state = 'void', decision_reason = 'address freed', decided_by = NULL, decided_at = now(), updated_at = now()
    FROM theirs WHERE c.id = theirs.id
    RETURNING c.id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'commission.voided', id, %(actor)s, %(request_id)s, '{"cause": "account.address_freed"}'
FROM voided

-- name: end_jobs
-- End the jobs that wait to send to the address or to create its sign-in, also failed ones; running ones end by
-- themselves.
WITH waiting AS (
    SELECT o.id FROM outbox o JOIN accounts a ON a.id = {account_of_job}
    WHERE a.email = %(email)s AND o.state IN ('pending', 'queued', 'failed', 'uncertain')
    ORDER BY o.id FOR NO KEY UPDATE OF o)
UPDATE outbox o SET state = 'done', last_error = 'address-freed', leased_until = NULL, updated_at = now()
FROM waiting WHERE o.id = waiting.id

-- name: record_freed
-- Insert the audit entry, by ids: the address itself is stored nowhere any more.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'account.address_freed', id, %(actor)s, %(request_id)s, '{}' FROM accounts WHERE email = %(email)s

-- name: give_up_address
-- Replace the address by one that can't receive mail (RFC 2606): jobs to it fail instead of being sent.
UPDATE accounts SET email = freed_address(id) WHERE email = %(email)s RETURNING id
