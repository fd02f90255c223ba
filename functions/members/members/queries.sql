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
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency)
SELECT %(id)s, %(member_id)s, p.plan, 'active', %(today)s::date, %(today)s::date + interval '1 year', p.price, p.currency
FROM plans p WHERE p.plan = %(plan)s

-- name: insert_agent_client
-- Whose client the member is, where an agent is known.
INSERT INTO agent_clients (member_id, agent_id)
SELECT m.id, m.agent_id FROM members m WHERE m.id = %(member_id)s AND m.agent_id IS NOT NULL

-- name: insert_commission
-- What the agent earns by the period that begins: the agent's own rate, else the usual one. One who is suspended earns
-- too: it can be approved once they are active again.
INSERT INTO commissions (id, agent_id, member_id, subscription_id, kind, earned_on, period_starts_on, rate, amount,
                         currency)
SELECT %(id)s, g.id, s.member_id, s.id, %(kind)s, %(today)s::date, s.ends_on - interval '1 year',
       coalesce(g.commission_rate, %(rate)s), round(s.price * coalesce(g.commission_rate, %(rate)s), 2), s.currency
FROM agent_clients c
JOIN agents g ON g.id = c.agent_id
JOIN subscriptions s ON s.member_id = c.member_id
WHERE c.member_id = %(member_id)s AND g.state IN ('active', 'suspended')

-- name: member
-- A member as staff, or that member, is told.
SELECT to_jsonb(m) - 'identity_sub' AS facts FROM member_view m
WHERE m.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND (%(staff)s OR m.identity_sub = %(sub)s)

-- name: registered
-- The member just registered.
SELECT to_jsonb(m) - 'identity_sub' AS facts FROM member_view m WHERE m.id = %(id)s

-- name: members
-- A page of members.
SELECT m.id, to_jsonb(m) - 'identity_sub' AS facts FROM member_view m
WHERE m.id < %(after)s
  AND (%(number)s::text IS NULL OR m.number = %(number)s)
  AND (%(email)s::text IS NULL OR m.email = %(email)s)
ORDER BY m.id DESC LIMIT %(count)s

-- name: lock_account
-- The member's account, for the member or staff; nobody else learns that it exists.
SELECT require((
    SELECT true FROM accounts a
    WHERE a.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND a.role = 'member'
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

-- name: change_contact
-- New contact data; what is null stays.
UPDATE accounts a SET
    full_name = coalesce(%(full_name)s, a.full_name),
    phone = coalesce(%(phone)s, a.phone),
    language = coalesce(%(language)s, a.language)
WHERE a.id = coalesce(%(id)s::uuid, account_of(%(sub)s))

-- name: next_version
-- The member's record has changed.
UPDATE members m SET version = m.version + 1, updated_at = now() WHERE m.id = coalesce(%(id)s::uuid, account_of(%(sub)s))

-- name: renew
-- A year more: from the current end, or from today where the membership had ended.
UPDATE subscriptions s SET
    starts_on = CASE WHEN s.state IN ('canceled', 'expired') THEN %(today)s::date ELSE s.starts_on END,
    ends_on = CASE WHEN s.state IN ('canceled', 'expired') THEN %(today)s::date ELSE s.ends_on END + interval '1 year',
    state = 'active', cancel_at_period_end = false, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s

-- name: cancel
-- The membership ends with its period.
UPDATE subscriptions s SET cancel_at_period_end = true, version = s.version + 1, updated_at = now()
WHERE s.member_id = %(id)s AND s.state IN ('active', 'past_due', 'paused')

-- name: require_running
-- Only a membership that has not ended can be cancelled.
SELECT require(EXISTS (
    SELECT FROM subscriptions s WHERE s.member_id = %(id)s AND s.state IN ('active', 'past_due', 'paused')),
    'membership-ended')
