-- All that the agents' room does to the database, in the lock order accounts, agents, …, outbox, audit.

-- name: insert_account
-- The person; a taken address stops the application by its constraint.
INSERT INTO accounts (id, role, email, full_name, phone, language, terms_version)
VALUES (%(id)s, 'agent', %(email)s, %(full_name)s, %(phone)s, %(language)s, %(terms_version)s)

-- name: insert_agent
-- The agent, pending; a taken referral code stops the application by its constraint.
INSERT INTO agents (id, city, referral_code) VALUES (%(id)s, %(city)s, %(referral_code)s)

-- name: agent
-- An agent as staff, or that agent, is told; their own where no id is named.
SELECT to_jsonb(g) - 'identity_sub' AS facts FROM agent_view g
WHERE g.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND (%(staff)s OR g.identity_sub = %(sub)s)

-- name: agent_after
-- The agent as the transaction has left them.
SELECT to_jsonb(g) - 'identity_sub' AS facts FROM agent_view g WHERE g.id = %(id)s

-- name: agents
-- A page of agents.
SELECT g.id, to_jsonb(g) - 'identity_sub' AS facts FROM agent_view g
WHERE g.id < %(after)s AND (%(state)s::text IS NULL OR g.state = %(state)s)
ORDER BY g.id DESC LIMIT %(count)s

-- name: lock_agent
-- The agent, held until the decision is written.
SELECT require((SELECT true FROM agents WHERE id = %(id)s FOR NO KEY UPDATE), 'not-found')

-- name: require_decision
-- The agent's state must allow what was decided.
SELECT require(EXISTS (
    SELECT FROM agents g JOIN agent_moves m ON m.from_state = g.state
    WHERE g.id = %(id)s AND m.decision = %(decision)s), 'decision-not-allowed')

-- name: decide
-- The state that the decision leads to.
UPDATE agents g SET state = m.to_state, version = g.version + 1, updated_at = now()
FROM agent_moves m WHERE g.id = %(id)s AND m.from_state = g.state AND m.decision = %(decision)s

-- name: require_active
-- Clients and commissions are open to agents whose application was approved.
SELECT require(EXISTS (
    SELECT FROM agents WHERE id = account_of(%(sub)s) AND state = 'active'), 'agent-not-active')

-- name: clients
-- A page of an agent's clients: names, numbers and membership, nothing of their claims.
SELECT c.id, to_jsonb(c) - 'agent_id' AS facts FROM client_view c
WHERE c.agent_id = account_of(%(sub)s) AND c.id < %(after)s
ORDER BY c.id DESC LIMIT %(count)s

-- name: commissions
-- A page of what an agent earns.
SELECT c.id, to_jsonb(c) - 'agent_id' AS facts FROM commission_view c
WHERE c.agent_id = account_of(%(sub)s) AND c.id < %(after)s
ORDER BY c.id DESC LIMIT %(count)s
