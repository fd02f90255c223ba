-- Who may: the first statement of every transaction that works for somebody who is signed in, right after the key's.

-- name: authorize
-- The caller's account must have one of the roles; whoever passes has proven the account's address.
SELECT authorize(%(sub)s, %(roles)s::text[], %(kind)s, %(record)s::uuid)

-- name: role
-- The caller's role, where the token's groups leave it open in which one they act.
SELECT role FROM accounts WHERE identity_sub = %(sub)s
