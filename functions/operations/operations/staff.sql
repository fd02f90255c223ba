-- All statements of the operators' commands about staff, in the lock order accounts, …, audit.

-- name: require_free_address
-- Require that the address is nobody's, or an account's of this role or of a former member of staff.
SELECT require(
    NOT EXISTS (SELECT FROM accounts WHERE email = %(email)s AND role NOT IN (%(role)s, 'former')), 'account-of-another-role')

-- name: account_of_address
-- Select the account of an address.
SELECT id, role FROM accounts WHERE email = %(email)s

-- name: insert_staff
-- Insert a member of staff, unless the address is taken.
INSERT INTO accounts (id, role, email, full_name, language)
VALUES (%(id)s, %(role)s, %(email)s, %(full_name)s, %(language)s)
ON CONFLICT DO NOTHING

-- name: reinstate_staff
-- Give a former member of staff a role again, with the sign-in that the address leads to now.
UPDATE accounts SET role = %(role)s, identity_sub = %(sub)s WHERE email = %(email)s AND role = 'former'

-- name: link_staff
-- Link the sign-in to the account; a sign-in of another account violates a constraint.
UPDATE accounts SET identity_sub = %(sub)s WHERE email = %(email)s AND role = %(role)s AND identity_sub IS NULL

-- name: require_linked_staff
-- Require that the account has this sign-in: an account keeps the one that it has.
SELECT require((SELECT identity_sub FROM accounts WHERE email = %(email)s) = %(sub)s, 'identity-not-linked')

-- name: staff_account
-- Select the account for the operator.
SELECT jsonb_build_object('id', id) AS facts FROM accounts WHERE email = %(email)s

-- name: end_role
-- Remove the role: once committed, every call with a token of theirs is refused. Repeating it changes nothing and
-- writes no entry.
WITH gone AS (
    UPDATE accounts SET role = 'former' WHERE email = %(email)s AND role IN ('staff', 'admin') RETURNING id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'staff.removed', id, %(actor)s, %(request_id)s, '{}' FROM gone

-- name: former_account
-- Select a former member of staff, their sign-in, and how many open claims are still assigned to them.
SELECT a.id, a.identity_sub, (
    SELECT count(*) FROM claims c
    WHERE c.assignee_id = a.id AND c.state NOT IN ('resolved', 'rejected', 'withdrawn')) AS open_claims
FROM accounts a WHERE a.email = %(email)s AND a.role = 'former'

-- name: identity_holder
-- Select the account that an identity is linked to.
SELECT id FROM accounts WHERE identity_sub = %(sub)s
