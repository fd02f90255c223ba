-- The relay keeps in DynamoDB what a key's row can answer, as it sends jobs to their queues (docs/decisions/0073).
-- `holder` is the token of the key's record there, while that record waits for the answer; null once it has it, and for a
-- call without a record.

ALTER TABLE idempotency_keys ADD COLUMN holder text;

GRANT INSERT (holder) ON idempotency_keys
    TO interdomestik_agents, interdomestik_members, interdomestik_claims, interdomestik_jobs;
GRANT SELECT (scope, key, answer, created_at, holder), UPDATE (holder) ON idempotency_keys TO interdomestik_relay;
