-- The check of the caller's account: the first statement of every transaction for a signed-in caller, right after the
-- key's.

-- name: authorize
-- Require one of the roles of the caller's account; a caller who passes has proven the account's address.
SELECT authorize(%(sub)s, %(roles)s::text[], %(kind)s, %(record)s::uuid)

-- name: role
-- Select the caller's role, if the token's groups leave open in which one they act.
SELECT role FROM accounts WHERE identity_sub = %(sub)s
