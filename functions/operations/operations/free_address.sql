-- All that freeing an address does to the database, in the lock order accounts, agents, members, subscriptions, commissions,
-- outbox, audit. The account is taken first and written last: its row is held all the while.

-- name: take_account
-- Held as firmly as the address will need in the end.
SELECT FROM accounts WHERE email = %(email)s FOR UPDATE

-- name: close_account
-- Nobody signs in as it any more, so nobody can prove its address from now on.
UPDATE accounts SET identity_sub = NULL
WHERE email = %(email)s AND proven_at IS NULL AND role IN ('member', 'agent', 'former')

-- name: require_not_staff
-- Whoever works here has their address from an operator.
SELECT require(
    NOT EXISTS (SELECT FROM accounts WHERE email = %(email)s AND role IN ('staff', 'admin')), 'account-of-staff')

-- name: require_not_proven
-- An address whose owner has signed in stays theirs.
SELECT require(NOT EXISTS (SELECT FROM accounts WHERE email = %(email)s AND proven_at IS NOT NULL), 'address-proven')

-- name: close_agent
-- An application is rejected and an agent suspended: their referral code earns nothing for nobody.
UPDATE agents g SET
    state = CASE g.state WHEN 'pending' THEN 'rejected' ELSE 'suspended' END, version = g.version + 1, updated_at = now()
FROM accounts a WHERE a.email = %(email)s AND g.id = a.id AND g.state IN ('pending', 'active')

-- name: next_version
-- The member's record changes, unless the membership is over already.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM accounts a JOIN subscriptions s ON s.member_id = a.id
WHERE a.email = %(email)s AND m.id = a.id AND s.state <> 'canceled'

-- name: end_membership
-- Nobody could use it, nor be told about it.
UPDATE subscriptions s SET state = 'canceled', cancel_at_period_end = true, version = s.version + 1, updated_at = now()
FROM accounts a WHERE a.email = %(email)s AND s.member_id = a.id AND s.state <> 'canceled'

-- name: silence_reminder
-- The end of the membership is told to nobody.
INSERT INTO membership_reminders (subscription_id, period_starts_on, kind, ends_on, job_id)
SELECT s.id, s.period_starts_on, 'ended', s.ends_on, gen_random_uuid()
FROM subscriptions s JOIN accounts a ON a.id = s.member_id WHERE a.email = %(email)s
ON CONFLICT DO NOTHING

-- name: void_commissions
-- What was earned by a member whom nobody has seen, each with its audit entry.
WITH theirs AS (
    SELECT c.id FROM commissions c JOIN accounts a ON a.id = c.member_id
    WHERE a.email = %(email)s AND c.state IN ('pending', 'approved')
    ORDER BY c.id FOR NO KEY UPDATE OF c
), voided AS (
    UPDATE commissions c SET state = 'void', updated_at = now(), decided_at = now(), decision_reason = 'address freed'
    FROM theirs WHERE c.id = theirs.id
    RETURNING c.id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'commission.voided', id, %(actor)s, %(request_id)s, '{"cause": "account.address_freed"}'
FROM voided

-- name: end_jobs
-- What waits to be sent to the address, or to make its sign-in, is not done any more, nor waits for a person; what is under way ends by itself.
WITH waiting AS (
    SELECT o.id FROM outbox o JOIN accounts a ON a.id = {account_of_job}
    WHERE a.email = %(email)s AND o.state IN ('pending', 'queued', 'failed', 'uncertain')
    ORDER BY o.id FOR NO KEY UPDATE OF o)
UPDATE outbox o SET state = 'done', last_error = 'address-freed', leased_until = NULL, updated_at = now()
FROM waiting WHERE o.id = waiting.id

-- name: record_freed
-- By ids: what the address was stands nowhere any more.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'account.address_freed', id, %(actor)s, %(request_id)s, '{}' FROM accounts WHERE email = %(email)s

-- name: give_up_address
-- An address that can't receive mail (RFC 2606): jobs to it fail instead of being sent.
UPDATE accounts SET email = freed_address(id) WHERE email = %(email)s RETURNING id
