-- All statements of the predecessor: the rows of a person and of a claim, without keys, jobs and audit entries.

-- name: insert_account
-- Insert a person; a taken address violates a constraint.
INSERT INTO accounts (id, role, email, full_name, phone, language, terms_version)
VALUES (%(id)s, %(role)s, %(email)s, %(full_name)s, %(phone)s, %(language)s, %(terms_version)s)

-- name: insert_agent
-- Insert the agent, pending, unless the referral code is taken.
INSERT INTO agents (id, application_id, city, referral_code) VALUES (%(id)s, %(id)s, %(city)s, %(referral_code)s)
ON CONFLICT (referral_code) DO NOTHING RETURNING id

-- name: select_agent
-- Select an agent as the API shows them.
SELECT to_jsonb(v) AS record FROM agent_view v WHERE v.id = %(id)s

-- name: select_referring_agent
-- Select the active agent with a referral code.
SELECT id FROM agents WHERE referral_code = %(referral_code)s AND state = 'active'

-- name: insert_member
-- Insert the member of an account; a trigger makes the number.
INSERT INTO members (id, country, registered_on, agent_id) VALUES (%(id)s, %(country)s, %(today)s, %(agent_id)s)

-- name: insert_subscription
-- Insert a year from today, at the plan's price.
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, price, currency)
SELECT gen_random_uuid(), %(id)s, plan, 'active', %(today)s, year_end(%(today)s, %(today)s), price, currency
FROM plans WHERE plan = %(plan)s

-- name: insert_agent_client
-- Insert whose client the member is, and what the agent earns.
WITH client AS (INSERT INTO agent_clients (member_id, agent_id) VALUES (%(id)s, %(agent_id)s))
INSERT INTO commissions (id, agent_id, member_id, subscription_id, kind, earned_on, period_starts_on, rate, amount,
                         currency)
SELECT gen_random_uuid(), g.id, s.member_id, s.id, 'new', %(today)s, s.period_starts_on,
       coalesce(g.commission_rate, 0.20), round(s.price * coalesce(g.commission_rate, 0.20), 2), s.currency
FROM agents g, subscriptions s WHERE g.id = %(agent_id)s AND s.member_id = %(id)s

-- name: select_member
-- Select a member by id as the API shows them.
SELECT to_jsonb(m) AS record FROM members_on(%(today)s) m WHERE m.id = %(id)s

-- name: select_own_member
-- Select the member who is signed in.
SELECT to_jsonb(m) AS record FROM members_on(%(today)s) m WHERE m.identity_sub = %(sub)s

-- name: select_claimant
-- Select the member who is signed in, for a claim and its mail.
SELECT a.id, a.email FROM accounts a JOIN members m USING (id) WHERE a.identity_sub = %(sub)s

-- name: insert_claim
-- Insert the claim; triggers make the number, and refuse it without a membership that gives access.
INSERT INTO claims (id, member_id, submitted_on, category, title, company_name, description, incident_date,
                    incident_country, amount, currency)
VALUES (%(id)s, %(member_id)s, %(today)s, %(category)s, %(title)s, %(company_name)s, %(description)s,
        %(incident_date)s, %(incident_country)s, %(amount)s, %(currency)s)

-- name: insert_first_history
-- Insert the first row of the claim's history.
INSERT INTO claim_history (claim_id, version, to_state, actor_role, actor_id)
VALUES (%(id)s, 1, 'submitted', 'member', %(member_id)s)

-- name: select_claim
-- Select a claim as the API shows it.
SELECT to_jsonb(c) AS record FROM claim_view c WHERE c.id = %(id)s

-- name: select_own_claims
-- Select a page of the claims of the member who is signed in, newest first.
SELECT to_jsonb(c) AS record FROM claim_view c
WHERE c.owner_sub = %(sub)s AND (%(after)s::uuid IS NULL OR c.id < %(after)s)
ORDER BY c.id DESC LIMIT %(count)s
