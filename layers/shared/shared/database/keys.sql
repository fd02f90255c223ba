-- The idempotency key's row: first statement of the transaction that does the work, so that a second one waits for it.

-- name: take_key
-- Taken first: a conflict here means that the work is done, or is being done by the transaction waited for.
INSERT INTO idempotency_keys (scope, key, fingerprint) VALUES (%(scope)s, %(key)s, %(fingerprint)s)

-- name: keep_answer
-- Wrapped around the statement that selects the answer's facts: they are kept as the work has left them.
WITH found AS ({facts})
UPDATE idempotency_keys k SET answer = found.facts FROM found
WHERE k.scope = %(key_scope)s AND k.key = %(key_key)s
RETURNING k.answer AS facts

-- name: find_answer
-- What the key's first use answered.
SELECT fingerprint, answer FROM idempotency_keys WHERE scope = %(scope)s AND key = %(key)s
