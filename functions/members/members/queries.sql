-- All that the members' room does to the database, in the lock order accounts, agents, members, subscriptions, …

-- name: insert_account
-- The person; a taken address stops the registration by its constraint.
INSERT INTO accounts (id, role, email, full_name, phone, language, terms_version)
VALUES (%(id)s, 'member', %(email)s, %(full_name)s, %(phone)s, %(language)s, %(terms_version)s)

-- name: require_agent
-- An agent signing someone up must be active; the row is taken here, before the foreign keys of later rows take it.
SELECT require((
    SELECT true FROM agents g JOIN accounts a USING (id)
    WHERE a.identity_sub = %(agent_sub)s AND g.state = 'active' FOR KEY SHARE OF g), 'agent-not-active')

-- name: require_referral
-- A referral code must be an active agent's; its row is taken here, in its turn.
SELECT require((
    SELECT true FROM agents WHERE referral_code = %(referral_code)s AND state = 'active' FOR KEY SHARE),
    'referral-code-unknown')

-- name: insert_member
-- The member, with the agent that the token or else the referral code names; a trigger makes the number of the day.
INSERT INTO members (id, country, registered_on, agent_id)
VALUES (%(id)s, %(country)s, %(today)s::date, coalesce(
    (SELECT a.id FROM accounts a WHERE a.identity_sub = %(agent_sub)s::text),
    (SELECT g.id FROM agents g WHERE g.referral_code = %(referral_code)s::text)))

-- name: insert_subscription
-- A year from today, at today's price of the plan.
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, anchor_on, period_starts_on, renewed_on,
                           price, currency)
SELECT %(id)s, %(member_id)s, p.plan, 'active', d.today, year_end(d.today, d.today), d.today, d.today, d.today,
       p.price, p.currency
FROM plans p, (SELECT %(today)s::date AS today) d WHERE p.plan = %(plan)s

-- name: insert_agent_client
-- Whose client the member is, where an agent is known.
INSERT INTO agent_clients (member_id, agent_id)
SELECT m.id, m.agent_id FROM members m WHERE m.id = %(member_id)s AND m.agent_id IS NOT NULL

-- name: insert_commission
-- What the agent earns by the period that begins: the agent's own rate, else the usual one. One who is suspended earns
-- too: it can be approved once they are active again.
INSERT INTO commissions (id, agent_id, member_id, subscription_id, kind, earned_on, period_starts_on, rate, amount,
                         currency)
SELECT %(id)s, g.id, s.member_id, s.id, %(kind)s, %(today)s::date, s.period_starts_on,
       coalesce(g.commission_rate, %(rate)s), round(s.price * coalesce(g.commission_rate, %(rate)s), 2), s.currency
FROM agent_clients c
JOIN agents g ON g.id = c.agent_id
JOIN subscriptions s ON s.member_id = c.member_id
WHERE c.member_id = %(member_id)s AND g.state IN ('active', 'suspended')

-- name: member
-- A member as staff, or that member, is told.
SELECT to_jsonb(m) - 'identity_sub' AS facts FROM members_on(%(today)s) m
WHERE m.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND (%(staff)s OR m.identity_sub = %(sub)s)

-- name: registered
-- The member just registered.
SELECT to_jsonb(m) - 'identity_sub' AS facts FROM members_on(%(today)s) m WHERE m.id = %(id)s

-- name: members
-- A page of members.
SELECT m.id, to_jsonb(m) - 'identity_sub' AS facts FROM members_on(%(today)s) m
WHERE m.id < %(after)s
  AND (%(number)s::text IS NULL OR m.number = %(number)s)
  AND (%(email)s::text IS NULL OR m.email = %(email)s)
ORDER BY m.id DESC LIMIT %(count)s

-- name: lock_account
-- The member's account, for the member or staff; nobody else learns that it exists. Of one whose address was freed nothing
-- changes any more: there is nobody to use it or to be told.
SELECT require((
    SELECT true FROM accounts a
    WHERE a.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND a.role = 'member'
      AND a.email <> freed_address(a.id)
      AND (%(staff)s OR a.identity_sub = %(sub)s)
    FOR NO KEY UPDATE), 'not-found')

-- name: take_agent
-- The agent who earns by the member, in its turn: the commission's foreign key would take the row out of it.
SELECT FROM agents g WHERE g.id = (SELECT c.agent_id FROM agent_clients c WHERE c.member_id = %(id)s) FOR KEY SHARE

-- name: require_version
-- One of the versions that were decided on must still be what is there; null: any.
SELECT require((
    SELECT %(versions)s::int[] IS NULL OR m.version = ANY(%(versions)s::int[])
    FROM members m WHERE m.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) FOR NO KEY UPDATE), 'stale-version')

-- name: take_member
-- The member, before anything is asked about the membership: housekeeping takes the same row first.
SELECT FROM members m WHERE m.id = %(id)s FOR NO KEY UPDATE

-- name: next_version_of_contact
-- The member's record changes, unless all that was sent is there already.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM accounts a
WHERE a.id = m.id AND m.id = coalesce(%(id)s::uuid, account_of(%(sub)s))
  AND (a.full_name, a.phone, a.language) IS DISTINCT FROM
      (coalesce(%(full_name)s, a.full_name), coalesce(%(phone)s, a.phone), coalesce(%(language)s, a.language))

-- name: change_contact
-- New contact data; what is null stays.
UPDATE accounts a SET
    full_name = coalesce(%(full_name)s, a.full_name),
    phone = coalesce(%(phone)s, a.phone),
    language = coalesce(%(language)s, a.language)
WHERE a.id = coalesce(%(id)s::uuid, account_of(%(sub)s))

-- name: next_version
-- The member's record has changed.
UPDATE members m SET version = m.version + 1, updated_at = now() WHERE m.id = %(id)s

-- name: require_not_paused
-- A paused membership is resumed first: only then is it known where the year to add begins.
SELECT require(NOT EXISTS (
    SELECT FROM subscriptions s WHERE s.member_id = %(id)s AND is_paused(s, %(today)s)), 'membership-paused')

-- name: require_near_end
-- Nobody pays further ahead than two years from today.
SELECT require(EXISTS (
    SELECT FROM subscriptions s, next_year(s, %(today)s) y
    WHERE s.member_id = %(id)s AND y.ends_on <= anniversary(%(today)s, 2)), 'renewal-too-early')

-- name: renew
-- A year more: from the current end, or from today where the membership has ended.
UPDATE subscriptions s SET
    starts_on = y.starts_on, anchor_on = y.anchor_on, period_starts_on = y.period_starts_on, ends_on = y.ends_on,
    renewed_on = %(today)s, state = 'active', cancel_at_period_end = false, paused_on = NULL, paused_days = 0,
    version = s.version + 1, updated_at = now()
FROM subscriptions before, next_year(before, %(today)s) y
WHERE s.member_id = %(id)s AND before.id = s.id

-- name: require_not_expired
-- Only a membership that has not ended can be cancelled; one that was is cancelled already.
SELECT require(EXISTS (
    SELECT FROM subscriptions s WHERE s.member_id = %(id)s AND membership_state(s, %(today)s) <> 'expired'),
    'membership-ended')

-- name: next_version_if_not_canceled
-- The member's record changes, unless the membership is cancelled already.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM subscriptions s
WHERE m.id = %(id)s AND s.member_id = m.id AND NOT (s.cancel_at_period_end OR s.state = 'canceled')

-- name: cancel
-- The membership ends with its period.
UPDATE subscriptions s SET cancel_at_period_end = true, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s AND NOT (s.cancel_at_period_end OR s.state = 'canceled')

-- name: void_commissions
-- A cancellation near a period's first day takes back what was earned by that period, unless it is paid already.
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
SELECT gen_random_uuid(), 'commission.voided', id, %(actor)s, %(request_id)s, '{"cause": "membership.canceled"}' FROM voided

-- name: require_pausable
-- Only within its period can a membership be paused, and only while days are left to pause it for.
SELECT require(membership_state(s, %(today)s) IN ('active', 'paused'), 'membership-not-running'),
       require(is_paused(s, %(today)s) OR paused_days_on(s, %(today)s) < most_paused_days(), 'pause-days-used')
FROM subscriptions s WHERE s.member_id = %(id)s

-- name: next_version_if_paused_is
-- The member's record changes, where the membership is paused, or is not, as the change expects it.
UPDATE members m SET version = m.version + 1, updated_at = now()
FROM subscriptions s
WHERE m.id = %(id)s AND s.member_id = m.id AND is_paused(s, %(today)s) = %(paused)s

-- name: pause
-- No access from today on; a membership that is paused already stays as it is.
UPDATE subscriptions s SET state = 'paused', paused_on = %(today)s, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s AND NOT is_paused(s, %(today)s)

-- name: require_not_ended
-- What has ended is renewed, not resumed.
SELECT require(EXISTS (
    SELECT FROM subscriptions s
    WHERE s.member_id = %(id)s AND membership_state(s, %(today)s) NOT IN ('canceled', 'expired')), 'membership-ended')

-- name: resume
-- Access from today on, and the end later by the days of the pause; one that is not paused stays as it is.
UPDATE subscriptions s SET
    state = 'active', paused_on = NULL, paused_days = paused_days_on(s, %(today)s),
    ends_on = s.ends_on + paused_days_on(s, %(today)s) - s.paused_days, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s AND is_paused(s, %(today)s)

-- name: drop_reminders
-- Reminders that have not left yet tell an end that is no longer true, where the membership was changed.
UPDATE outbox o SET state = 'done', last_error = 'superseded', leased_until = NULL, updated_at = now()
FROM membership_reminders r JOIN subscriptions s ON s.id = r.subscription_id
WHERE s.member_id = %(id)s AND o.id = r.job_id AND o.state IN ('pending', 'queued', 'failed')
  AND is_written_here('members', %(id)s)
