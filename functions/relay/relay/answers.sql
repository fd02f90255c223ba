-- The statements about answers that are not kept in DynamoDB yet. Two relays may read the same ones: the second finds them
-- kept. A row's answer never changes, so there is no lease.

-- name: unkept_answers
-- Select answers that are not kept yet, in the order of their records' tokens, which is that of the index.
SELECT scope, key, holder, coalesce(CAST(answer AS text), 'null') AS as_json, created_at
FROM idempotency_keys WHERE holder IS NOT NULL ORDER BY holder LIMIT %(count)s

-- name: mark_kept
-- Mark the rows whose answers are kept. Rows that another relay is marking are locked, and left to it.
WITH ours AS (
    SELECT holder FROM idempotency_keys WHERE holder = ANY(%(holders)s) ORDER BY holder
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE idempotency_keys k SET holder = NULL FROM ours WHERE k.holder = ours.holder
