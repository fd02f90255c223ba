-- All that the operators' commands about people do to the database, in the lock order accounts, …, outbox, audit.

-- name: require_free_address
-- The address must be nobody's, or this role's.
SELECT require(
    NOT EXISTS (SELECT FROM accounts WHERE email = %(email)s AND role <> %(role)s), 'account-of-another-role')

-- name: insert_staff
-- A member of staff, unless the address is taken.
INSERT INTO accounts (id, role, email, full_name, language)
VALUES (%(id)s, %(role)s, %(email)s, %(full_name)s, %(language)s)
ON CONFLICT ON CONSTRAINT accounts_email_key DO NOTHING

-- name: link_staff
-- Who signs in as this account; a sign-in that is another account's is refused by its constraint.
UPDATE accounts SET identity_sub = %(sub)s WHERE email = %(email)s AND role = %(role)s AND identity_sub IS NULL

-- name: require_linked_staff
-- An account keeps the sign-in that it has.
SELECT require((SELECT identity_sub FROM accounts WHERE email = %(email)s) = %(sub)s, 'identity-not-linked')

-- name: staff_account
-- The account as the operator is told.
SELECT jsonb_build_object('id', id) AS facts FROM accounts WHERE email = %(email)s
