-- All that the operators' commands about people who work here do to the database, in the lock order accounts, …, audit.

-- name: require_free_address
-- The address must be nobody's, this role's, or somebody's who worked here.
SELECT require(
    NOT EXISTS (SELECT FROM accounts WHERE email = %(email)s AND role NOT IN (%(role)s, 'former')), 'account-of-another-role')

-- name: account_of_address
-- Whose address it is.
SELECT id, role FROM accounts WHERE email = %(email)s

-- name: insert_staff
-- A member of staff, unless the address is taken.
INSERT INTO accounts (id, role, email, full_name, language)
VALUES (%(id)s, %(role)s, %(email)s, %(full_name)s, %(language)s)
ON CONFLICT DO NOTHING

-- name: reinstate_staff
-- Somebody who worked here does so again, with the sign-in that the address leads to now.
UPDATE accounts SET role = %(role)s, identity_sub = %(sub)s WHERE email = %(email)s AND role = 'former'

-- name: link_staff
-- Who signs in as this account; a sign-in that is another account's is refused by its constraint.
UPDATE accounts SET identity_sub = %(sub)s WHERE email = %(email)s AND role = %(role)s AND identity_sub IS NULL

-- name: require_linked_staff
-- An account keeps the sign-in that it has.
SELECT require((SELECT identity_sub FROM accounts WHERE email = %(email)s) = %(sub)s, 'identity-not-linked')

-- name: staff_account
-- The account as the operator is told.
SELECT jsonb_build_object('id', id) AS facts FROM accounts WHERE email = %(email)s

-- name: end_role
-- From its commit on every call with a token of theirs is refused. A second time there is nothing to end or to write down.
WITH gone AS (
    UPDATE accounts SET role = 'former' WHERE email = %(email)s AND role IN ('staff', 'admin') RETURNING id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'staff.removed', id, %(actor)s, %(request_id)s, '{}' FROM gone

-- name: former_account
-- Who worked here, their sign-in, and how many open claims are still theirs.
SELECT a.id, a.identity_sub, (
    SELECT count(*) FROM claims c
    WHERE c.assignee_id = a.id AND c.state NOT IN ('resolved', 'rejected', 'withdrawn')) AS open_claims
FROM accounts a WHERE a.email = %(email)s AND a.role = 'former'

-- name: identity_holder
-- The account that an identity signs in as.
SELECT id FROM accounts WHERE identity_sub = %(sub)s
