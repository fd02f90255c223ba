-- The row of an idempotency key: inserted by the first statement of the transaction that does the work, so that a
-- second transaction waits for the first.

-- name: take_key
-- Insert the key. A conflict means that the work is done, or that the transaction waited for has just done it.
INSERT INTO idempotency_keys (scope, key, fingerprint, holder)
VALUES (%(scope)s, %(key)s, %(fingerprint)s, %(holder)s)

-- name: keep_answer
-- Wrap the statement that selects the answer's facts, and store them as the work has left them. Without facts there is
-- nothing to answer but a refusal, so the transaction ends by it: a refused call leaves no row, not even its key's.
WITH found AS ({facts})
UPDATE idempotency_keys SET answer = (SELECT facts FROM found)
WHERE scope = %(key_scope)s AND key = %(key_key)s AND require(EXISTS (SELECT 1 FROM found), 'not-found') IS NOT NULL
RETURNING answer AS facts

-- name: find_answer
-- Find what the key's first use was answered with, and when it was.
SELECT fingerprint, answer, created_at FROM idempotency_keys WHERE scope = %(scope)s AND key = %(key)s
