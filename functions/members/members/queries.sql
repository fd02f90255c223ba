-- All statements of the members function, in the lock order accounts, agents, members, subscriptions, …

-- name: insert_account
-- Insert the person; a taken address violates a constraint.
INSERT INTO accounts (id, role, email, full_name, phone, language, terms_version)
VALUES (%(id)s, 'member', %(email)s, %(full_name)s, %(phone)s, %(language)s, %(terms_version)s)

-- name: require_agent
-- Require that an agent who registers somebody is active; lock the row before foreign keys of later rows do.
SELECT require((
    SELECT true FROM agents g JOIN accounts a USING (id)
    WHERE a.identity_sub = %(agent_sub)s AND g.state = 'active' FOR KEY SHARE OF g), 'agent-not-active')

-- name: require_referral
-- Require that a referral code is an active agent's; lock the row in lock order.
SELECT require((
    SELECT true FROM agents WHERE referral_code = %(referral_code)s AND state = 'active' FOR KEY SHARE),
    'referral-code-unknown')

-- name: insert_member
-- Insert the member with the agent whom the token, or else the referral code, names; a trigger makes the day's number.
INSERT INTO members (id, country, registered_on, agent_id)
VALUES (%(id)s, %(country)s, %(today)s::date, coalesce(
    (SELECT a.id FROM accounts a WHERE a.identity_sub = %(agent_sub)s::text),
    (SELECT g.id FROM agents g WHERE g.referral_code = %(referral_code)s::text)))

-- name: insert_subscription
-- Insert a year from today, at the plan's current price.
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, anchor_on, period_starts_on, renewed_on,
                           price, currency)
SELECT %(id)s, %(member_id)s, p.plan, 'active', d.today, year_end(d.today, d.today), d.today, d.today, d.today,
       p.price, p.currency
FROM plans p, (SELECT %(today)s::date AS today) d WHERE p.plan = %(plan)s

-- name: insert_agent_client
-- Insert whose client the member is, if there is an agent.
INSERT INTO agent_clients (member_id, agent_id)
SELECT m.id, m.agent_id FROM members m WHERE m.id = %(member_id)s AND m.agent_id IS NOT NULL

-- name: insert_commission
-- Insert what the agent earns by the period that begins: at the agent's own rate, or else the usual one. A suspended
-- agent earns too: the commission can be approved once they are active again.
INSERT INTO commissions (id, agent_id, member_id, subscription_id, kind, earned_on, period_starts_on, rate, amount,
                         currency)
SELECT %(id)s, g.id, s.member_id, s.id, %(kind)s, %(today)s::date, s.period_starts_on,
       coalesce(g.commission_rate, %(rate)s), round(s.price * coalesce(g.commission_rate, %(rate)s), 2), s.currency
FROM agent_clients c
JOIN agents g ON g.id = c.agent_id
JOIN subscriptions s ON s.member_id = c.member_id
WHERE c.member_id = %(member_id)s AND g.state IN ('active', 'suspended')

-- name: member
-- Select a member for staff or for that member.
SELECT to_jsonb(m) - 'identity_sub' AS facts FROM members_on(%(today)s) m
WHERE m.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND (%(staff)s OR m.identity_sub = %(sub)s)

-- name: registered
-- Select the member just registered.
SELECT to_jsonb(m) - 'identity_sub' AS facts FROM members_on(%(today)s) m WHERE m.id = %(id)s

-- name: members
-- Select a page of members.
SELECT m.id, to_jsonb(m) - 'identity_sub' AS facts FROM members_on(%(today)s) m
WHERE m.id < %(after)s
  AND (%(number)s::text IS NULL OR m.number = %(number)s)
  AND (%(email)s::text IS NULL OR m.email = %(email)s)
ORDER BY m.id DESC LIMIT %(count)s

-- name: found_members
-- Select a page of members by parts of their names and phone numbers. The ids of the page are found before anything else
-- is read: from the newest member on if many members match, by the indexes of letters if few do. The subquery in the first
-- LIMIT hides the page's length, so that the planner takes it for a tenth of all matches. If it knew the length, it would
-- search from the newest member on for a name that is rarer than its sample says, and read the whole table. The second
-- LIMIT tells it the length for the rest of the statement.
WITH found AS MATERIALIZED (
    SELECT s.id FROM member_search s
    WHERE s.id < %(after)s
      AND (%(word_1)s::text IS NULL OR s.names LIKE ANY (make_search_patterns(%(word_1)s)))
      AND (%(word_2)s::text IS NULL OR s.names LIKE ANY (make_search_patterns(%(word_2)s)))
      AND (%(word_3)s::text IS NULL OR s.names LIKE ANY (make_search_patterns(%(word_3)s)))
      AND (%(word_4)s::text IS NULL OR s.names LIKE ANY (make_search_patterns(%(word_4)s)))
      AND (%(phone)s::text IS NULL OR s.phone LIKE '%%' || %(phone)s || '%%')
      AND (%(number)s::text IS NULL OR s.id = (SELECT m.id FROM members m WHERE m.number = %(number)s))
      AND (%(email)s::text IS NULL OR s.id = (SELECT a.id FROM accounts a WHERE a.email = %(email)s))
    ORDER BY s.id DESC LIMIT (SELECT %(count)s::bigint))
SELECT m.id, to_jsonb(m) - 'identity_sub' AS facts FROM (SELECT id FROM found LIMIT %(count)s) f JOIN members_on(%(today)s) m ON m.id = f.id
ORDER BY m.id DESC

-- name: lock_account
-- Lock the member's account, for the member or staff; nobody else learns that it exists. An account whose address was
-- freed is not found: nobody could use a change, or be told of it.
SELECT require((
    SELECT true FROM accounts a
    WHERE a.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND a.role = 'member'
      AND a.email <> freed_address(a.id)
      AND (%(staff)s OR a.identity_sub = %(sub)s)
    FOR NO KEY UPDATE), 'not-found')

-- name: lock_agent
-- Lock the agent who earns by the member in lock order; otherwise the commission's foreign key would lock the row
-- later.
SELECT FROM agents g WHERE g.id = (SELECT c.agent_id FROM agent_clients c WHERE c.member_id = %(id)s) FOR KEY SHARE

-- name: require_version
-- Require that the member's version is one of those on which the change is based; null: any.
SELECT require((
    SELECT %(versions)s::int[] IS NULL OR m.version = ANY(%(versions)s::int[])
    FROM members m WHERE m.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) FOR NO KEY UPDATE), 'stale-version')

-- name: lock_member
-- Lock the member before anything is checked about the membership: housekeeping locks the same row first.
SELECT FROM members m WHERE m.id = %(id)s FOR NO KEY UPDATE

-- name: next_version_of_contact
-- Count a change of the member's record, unless the data is the same.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM accounts a
WHERE a.id = m.id AND m.id = coalesce(%(id)s::uuid, account_of(%(sub)s))
  AND (a.full_name, a.phone, a.language) IS DISTINCT FROM
      (coalesce(%(full_name)s, a.full_name), coalesce(%(phone)s, a.phone), coalesce(%(language)s, a.language))

-- name: change_contact
-- Write new contact data; null keeps the old value.
UPDATE accounts a SET
    full_name = coalesce(%(full_name)s, a.full_name),
    phone = coalesce(%(phone)s, a.phone),
    language = coalesce(%(language)s, a.language)
WHERE a.id = coalesce(%(id)s::uuid, account_of(%(sub)s))

-- name: next_version
-- Count a change of the member's record.
UPDATE members m SET version = m.version + 1, updated_at = now() WHERE m.id = %(id)s

-- name: require_not_paused
-- Require that the membership is not paused: it is resumed first, since only then it is known where the next year
-- begins.
SELECT require(NOT EXISTS (
    SELECT FROM subscriptions s WHERE s.member_id = %(id)s AND is_paused(s, %(today)s)), 'membership-paused')

-- name: require_near_end
-- Require that nobody pays for more than two years from today.
SELECT require(EXISTS (
    SELECT FROM subscriptions s, next_year(s, %(today)s) y
    WHERE s.member_id = %(id)s AND y.ends_on <= anniversary(%(today)s, 2)), 'renewal-too-early')

-- name: renew
-- Add a year: from the current end, or from today if the membership has ended.
UPDATE subscriptions s SET
    starts_on = y.starts_on, anchor_on = y.anchor_on, period_starts_on = y.period_starts_on, ends_on = y.ends_on,
    renewed_on = %(today)s, state = 'active', cancel_at_period_end = false, paused_on = NULL, paused_days = 0,
    version = s.version + 1, updated_at = now()
FROM subscriptions before, next_year(before, %(today)s) y
WHERE s.member_id = %(id)s AND before.id = s.id

-- name: require_not_expired
-- Require that the membership has not ended: otherwise it can't be canceled.
SELECT require(EXISTS (
    SELECT FROM subscriptions s WHERE s.member_id = %(id)s AND membership_state(s, %(today)s) <> 'expired'),
    'membership-ended')

-- name: next_version_if_not_canceled
-- Count a change of the member's record, unless the membership is canceled already.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM subscriptions s
WHERE m.id = %(id)s AND s.member_id = m.id AND NOT (s.cancel_at_period_end OR s.state = 'canceled')

-- name: cancel
-- End the membership with its period.
UPDATE subscriptions s SET cancel_at_period_end = true, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s AND NOT (s.cancel_at_period_end OR s.state = 'canceled')

-- name: void_commissions
-- Void what was earned by a period, unless it is paid already, if the cancellation is near the period's first day.
WITH near AS (
    SELECT id FROM commissions
    WHERE member_id = %(id)s AND state IN ('pending', 'approved')
      AND abs(period_starts_on - %(today)s::date) <= %(days)s AND is_written_here('members', %(id)s)
    ORDER BY id FOR NO KEY UPDATE
), voided AS (
    UPDATE commissions c SET
        state = 'void', decision_reason = 'The membership was canceled within 14 days.', decided_by = NULL,
        decided_at = now(), updated_at = now()
    FROM near WHERE c.id = near.id
    RETURNING c.id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'commission.voided', id, %(actor)s, %(request_id)s,
       '{"cause": "membership.cancellation_requested"}' FROM voided

-- name: require_pausable
-- Require that the membership is within its period, and that days are left to pause it.
SELECT require(membership_state(s, %(today)s) IN ('active', 'paused'), 'membership-not-running'),
       require(is_paused(s, %(today)s) OR paused_days_on(s, %(today)s) < most_paused_days(), 'pause-days-used')
FROM subscriptions s WHERE s.member_id = %(id)s

-- name: next_version_if_paused_is
-- Count a change of the member's record, if the membership is paused, or is not, as the change expects it.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM subscriptions s
WHERE m.id = %(id)s AND s.member_id = m.id AND is_paused(s, %(today)s) = %(paused)s

-- name: pause
-- Pause access from today on; a paused membership stays unchanged.
UPDATE subscriptions s SET state = 'paused', paused_on = %(today)s, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s AND NOT is_paused(s, %(today)s)

-- name: require_not_ended
-- Require that the membership has not ended: one that has is renewed, not resumed.
SELECT require(EXISTS (
    SELECT FROM subscriptions s
    WHERE s.member_id = %(id)s AND membership_state(s, %(today)s) NOT IN ('canceled', 'expired')), 'membership-ended')

-- name: resume
-- Resume access from today on, and move the end by the days of the pause; a membership that is not paused stays
-- unchanged.
UPDATE subscriptions s SET
    state = 'active', paused_on = NULL, paused_days = paused_days_on(s, %(today)s),
    ends_on = s.ends_on + paused_days_on(s, %(today)s) - s.paused_days, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s AND is_paused(s, %(today)s)

-- name: drop_reminders
-- Drop reminders that were not sent yet and state an old end, if the membership was changed.
UPDATE outbox o SET state = 'done', last_error = 'superseded', leased_until = NULL, updated_at = now()
FROM membership_reminders r JOIN subscriptions s ON s.id = r.subscription_id
WHERE s.member_id = %(id)s AND o.id = r.job_id AND o.state IN ('pending', 'queued', 'failed')
  AND is_written_here('members', %(id)s)
