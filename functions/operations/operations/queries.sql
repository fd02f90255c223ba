-- The audit entries of operators' commands about no record. Each command may die between what it did and its entry, so a
-- repetition writes the entry that is missing, and none a second time.

-- name: record_migrations
-- All that was applied and is in no entry yet, in one.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'schema.migrated', %(subject)s, %(actor)s, %(request_id)s,
       jsonb_build_object('applied', jsonb_agg(version ORDER BY version))
FROM schema_migrations
WHERE version NOT IN (SELECT jsonb_array_elements_text(facts->'applied') FROM audit WHERE action = 'schema.migrated')
HAVING count(*) > 0

-- name: record_forced_circuit
-- Which circuit was forced to what: by its generation, which a repeated command does not change.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'circuit.forced', %(subject)s, %(actor)s, %(request_id)s, %(facts)s::jsonb
WHERE NOT EXISTS (SELECT FROM audit WHERE action = 'circuit.forced' AND facts @> %(facts)s::jsonb)
