-- All statements of the agents function, in the lock order accounts, agents, …, outbox, audit.

-- name: apply_again
-- Make an applicant who was rejected long enough ago pending again, with the new data and the usual terms; lock the
-- account, then the agent.
WITH again AS (
    SELECT a.id FROM accounts a JOIN agents g USING (id)
    WHERE a.email = %(email)s AND a.role = 'agent' AND g.state = 'rejected'
      AND coalesce(g.decided_at, g.updated_at) <= now() - %(after)s
    FOR NO KEY UPDATE
), person AS (
    UPDATE accounts a SET
        full_name = %(full_name)s, phone = %(phone)s, language = %(language)s, terms_version = %(terms_version)s
    FROM again WHERE a.id = again.id)
UPDATE agents g SET
    state = 'pending', city = %(city)s, tier = 'standard', commission_rate = NULL,
    application_id = %(application_id)s, version = g.version + 1, updated_at = now()
FROM again WHERE g.id = again.id

-- name: insert_account
-- Insert the person, unless this application is an earlier applicant's; a taken address violates a constraint.
INSERT INTO accounts (id, role, email, full_name, phone, language, terms_version)
SELECT %(application_id)s, 'agent', %(email)s, %(full_name)s, %(phone)s, %(language)s, %(terms_version)s
WHERE NOT EXISTS (SELECT FROM agents WHERE application_id = %(application_id)s)

-- name: insert_agent
-- Insert the agent of a new account, pending; a taken referral code violates a constraint.
INSERT INTO agents (id, application_id, city, referral_code)
SELECT %(application_id)s, %(application_id)s, %(city)s, %(referral_code)s
WHERE NOT EXISTS (SELECT FROM agents WHERE application_id = %(application_id)s)

-- name: enqueue_received
-- Insert the mail that confirms the application: one a day to an address, which nobody has proven yet.
WITH first_today AS (
    INSERT INTO greetings AS t (address, template)
    SELECT a.email, 'agent-received' FROM agents g JOIN accounts a USING (id)
    WHERE g.application_id = %(application_id)s
    ON CONFLICT (address, template) DO UPDATE SET sent_at = now() WHERE t.sent_at <= now() - interval '24 hours'
    RETURNING 1
), mails AS (
    SELECT %(job_id)s AS job_id, 'normal' AS priority, 'agent-received' AS template, g.id AS subject_id, g.id AS account_id,
           '{}'::jsonb AS facts
    FROM agents g, first_today WHERE g.application_id = %(application_id)s)
{enqueue_mails}

-- name: record_application
-- Insert the audit entry of an application, about the agent's record.
INSERT INTO audit (id, action, subject_id, actor, request_id)
SELECT %(audit_id)s, CASE WHEN g.id = g.application_id THEN 'agent.applied' ELSE 'agent.applied_again' END, g.id,
       'anonymous', %(request_id)s
FROM agents g WHERE g.application_id = %(application_id)s

-- name: application
-- Select the agent as the application has left them.
SELECT to_jsonb(v) - 'identity_sub' - 'decision' AS facts FROM agent_view v JOIN agents g USING (id)
WHERE g.application_id = %(application_id)s

-- name: agent
-- Select an agent for staff or for that agent (the caller if no id is named); only staff see what was decided and why.
SELECT to_jsonb(g) - 'identity_sub' - CASE WHEN %(staff)s THEN '' ELSE 'decision' END AS facts FROM agent_view g
WHERE g.id = coalesce(%(id)s::uuid, account_of(%(sub)s)) AND (%(staff)s OR g.identity_sub = %(sub)s)

-- name: agent_after
-- Select the agent as the transaction has left them.
SELECT to_jsonb(g) - 'identity_sub' AS facts FROM agent_view g WHERE g.id = %(id)s

-- name: agents
-- Select a page of agents.
SELECT g.id, to_jsonb(g) - 'identity_sub' AS facts FROM agent_view g
WHERE g.id < %(after)s AND (%(state)s::text IS NULL OR g.state = %(state)s)
ORDER BY g.id DESC LIMIT %(count)s

-- name: lock_agent
-- Lock the agent until the decision is written.
SELECT require((SELECT true FROM agents WHERE id = %(id)s FOR NO KEY UPDATE), 'not-found')

-- name: require_decision
-- Require that the agent's state permits the decision; an agent whose address was freed can't sign in, and stays
-- unchanged.
SELECT require(EXISTS (
    SELECT FROM agents g JOIN agent_moves m ON m.from_state = g.state JOIN accounts a ON a.id = g.id
    WHERE g.id = %(id)s AND m.decision = %(decision)s AND a.email <> freed_address(a.id)),
    'decision-not-allowed')

-- name: lock_decider
-- Lock the account of the deciding member of staff in lock order; otherwise the decision's foreign key would lock it
-- later.
SELECT FROM accounts WHERE identity_sub = %(sub)s FOR KEY SHARE

-- name: decide
-- Write the state after the decision, and who decided it, when and why.
UPDATE agents g SET
    state = m.to_state, decision_reason = %(reason)s, decided_by = account_of(%(sub)s), decided_at = now(),
    version = g.version + 1, updated_at = now()
FROM agent_moves m WHERE g.id = %(id)s AND m.from_state = g.state AND m.decision = %(decision)s

-- name: require_version
-- Require that the agent's version is one of those on which the change is based; null: any.
SELECT require((
    SELECT %(versions)s::int[] IS NULL OR g.version = ANY(%(versions)s::int[])
    FROM agents g WHERE g.id = %(id)s), 'stale-version')

-- name: change_terms
-- Change the agent's tier and commission rate; a tier of null keeps the old one, a rate changes if it was given. The
-- same terms again change nothing.
UPDATE agents g SET
    tier = new.tier, commission_rate = new.commission_rate, version = g.version + 1, updated_at = now()
FROM (SELECT coalesce(%(tier)s, tier) AS tier,
             CASE WHEN %(rate_given)s THEN %(commission_rate)s::numeric ELSE commission_rate END AS commission_rate
      FROM agents WHERE id = %(id)s) new
WHERE g.id = %(id)s AND (g.tier, g.commission_rate) IS DISTINCT FROM (new.tier, new.commission_rate)

-- name: require_active
-- Require an active agent: only they see clients and commissions.
SELECT require(EXISTS (
    SELECT FROM agents WHERE id = account_of(%(sub)s) AND state = 'active'), 'agent-not-active')

-- name: clients
-- Select a page of an agent's clients: names, numbers and membership, nothing of their claims.
SELECT c.id, to_jsonb(c) - 'agent_id' AS facts FROM clients_on(%(today)s) c
WHERE c.agent_id = account_of(%(sub)s) AND c.id < %(after)s
ORDER BY c.id DESC LIMIT %(count)s

-- name: commissions
-- Select a page of an agent's commissions.
SELECT c.id, to_jsonb(c) - 'agent_id' AS facts FROM commission_view c
WHERE c.agent_id = account_of(%(sub)s) AND c.id < %(after)s
ORDER BY c.id DESC LIMIT %(count)s

-- name: commission_records
-- Select a page of commissions for staff.
SELECT c.id, to_jsonb(c) - 'agent_id' AS facts FROM commission_record c
WHERE c.id < %(after)s
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(agent)s::uuid IS NULL OR c.agent_id = %(agent)s)
  AND (%(first_day)s::date IS NULL
       OR c.earned_on >= %(first_day)s AND c.earned_on < %(first_day)s::date + interval '1 month')
ORDER BY c.id DESC LIMIT %(count)s

-- name: require_decider
-- Require that whoever decides about money has an account here.
SELECT require((SELECT true FROM accounts WHERE identity_sub = %(sub)s FOR KEY SHARE), 'forbidden')

-- name: lock_agent_state
-- Lock the commission's agent, so that nobody suspends or reinstates them until the decision is written.
SELECT FROM agents WHERE id = (SELECT agent_id FROM commissions WHERE id = %(id)s) FOR SHARE

-- name: lock_commission
-- Lock the commission until the decision is written.
SELECT require((SELECT true FROM commissions WHERE id = %(id)s FOR NO KEY UPDATE), 'not-found')

-- name: require_not_own
-- Require that nobody decides about a commission that they earn themselves.
SELECT require((SELECT agent_id <> account_of(%(sub)s) FROM commissions WHERE id = %(id)s), 'own-commission')

-- name: require_commission_move
-- Require that the commission's state permits the decision.
SELECT require(EXISTS (
    SELECT FROM commissions c JOIN commission_moves m ON m.from_state = c.state
    WHERE c.id = %(id)s AND m.decision = %(decision)s), 'commission-move-not-allowed')

-- name: require_agent_active
-- Require that the agent of a commission to approve is active.
SELECT require((
    SELECT g.state = 'active' FROM commissions c JOIN agents g ON g.id = c.agent_id WHERE c.id = %(id)s),
    'commission-agent-not-active')

-- name: require_member_proven
-- Require that the member of a commission to approve has signed in: until then nobody knows that they exist.
SELECT require((
    SELECT a.proven_at IS NOT NULL FROM commissions c JOIN accounts a ON a.id = c.member_id WHERE c.id = %(id)s),
    'commission-member-not-proven')

-- name: decide_commission
-- Write the state after the decision, and who decided it, when and why.
UPDATE commissions c SET
    state = m.to_state, decision_reason = %(reason)s, decided_by = account_of(%(sub)s), decided_at = now(),
    approved_by = CASE WHEN m.to_state = 'approved' THEN account_of(%(sub)s) ELSE c.approved_by END, updated_at = now()
FROM commission_moves m WHERE c.id = %(id)s AND m.from_state = c.state AND m.decision = %(decision)s

-- name: commission_after
-- Select the commission as the transaction has left it.
SELECT to_jsonb(c) - 'agent_id' AS facts FROM commission_record c WHERE c.id = %(id)s

-- name: lock_paid_agents
-- Lock the agents to be paid in lock order; otherwise the statements' foreign keys would lock them later.
SELECT FROM agents WHERE id IN (
    SELECT agent_id FROM commissions WHERE state = 'approved' AND earned_on < %(first_day)s::date + interval '1 month')
ORDER BY id FOR KEY SHARE

-- name: pay_out
-- Insert the whole run, unless the month has one: in one statement, so that locks, lines and sums are of the same
-- commissions.
WITH taken AS (
    SELECT id, agent_id, amount, currency FROM commissions
    WHERE state = 'approved' AND earned_on < %(first_day)s::date + interval '1 month'
      AND NOT EXISTS (SELECT FROM payouts WHERE month = %(first_day)s)
    ORDER BY id FOR NO KEY UPDATE
), payout AS (
    INSERT INTO payouts (id, month, made_by)
    SELECT %(id)s, %(first_day)s, account_of(%(sub)s) FROM (SELECT count(*) FROM taken) AS locked
    ON CONFLICT ON CONSTRAINT payouts_month_key DO NOTHING
    RETURNING id
), statements AS (
    INSERT INTO payout_statements (payout_id, agent_id, issued_on, total, currency)
    SELECT p.id, t.agent_id, %(today)s::date, sum(t.amount), t.currency FROM payout p CROSS JOIN taken t
    GROUP BY p.id, t.agent_id, t.currency ORDER BY t.agent_id
    RETURNING payout_id, agent_id)
UPDATE commissions c SET state = 'paid', payout_id = s.payout_id, updated_at = now()
FROM taken t JOIN statements s USING (agent_id)
WHERE c.id = t.id

-- name: record_payout
-- Insert the audit entries of a new run, and of each commission that it paid.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'payout.made', p.id, %(sub)s, %(request_id)s, jsonb_build_object('month', p.month)
FROM payout_view p WHERE p.id = %(id)s
UNION ALL
SELECT gen_random_uuid(), 'commission.paid', c.id, %(sub)s, %(request_id)s, jsonb_build_object('payout_id', c.payout_id)
FROM commissions c WHERE c.payout_id = %(id)s

-- name: payout_of_month
-- Select the run of a month.
SELECT to_jsonb(p) - 'first_day' AS facts FROM payout_view p WHERE p.first_day = %(first_day)s

-- name: payouts
-- Select a page of runs.
SELECT p.id, to_jsonb(p) - 'first_day' AS facts FROM payout_view p
WHERE p.id < %(after)s ORDER BY p.id DESC LIMIT %(count)s

-- name: payout
-- Select a run with its statements, ordered by number.
SELECT to_jsonb(p) - 'first_day' || jsonb_build_object('statements', coalesce(
    (SELECT jsonb_agg(to_jsonb(s) - 'agent_id' ORDER BY s.number) FROM statement_view s WHERE s.payout_id = p.id),
    '[]')) AS facts
FROM payout_view p WHERE p.id = %(id)s

-- name: require_approved_once
-- Require an agent who was approved, even if suspended now: they may see what they were paid.
SELECT require(EXISTS (
    SELECT FROM agents WHERE id = account_of(%(sub)s) AND state IN ('active', 'suspended')), 'agent-not-active')

-- name: own_statements
-- Select a page of an agent's statements, by the runs' ids.
SELECT s.payout_id AS id, to_jsonb(s) - 'agent_id' AS facts FROM statement_view s
WHERE s.agent_id = account_of(%(sub)s) AND s.payout_id < %(after)s
ORDER BY s.payout_id DESC LIMIT %(count)s
