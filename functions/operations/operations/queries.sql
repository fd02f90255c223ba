-- The audit entries of operators' commands that are about no record. A command may die before it has written its entry,
-- so a repetition writes a missing entry, and none twice.

-- name: record_migrations
-- Insert one entry with all applied migrations that are in no entry yet.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'schema.migrated', %(subject)s, %(actor)s, %(request_id)s,
       jsonb_build_object('applied', jsonb_agg(version ORDER BY version))
FROM schema_migrations
WHERE version NOT IN (SELECT jsonb_array_elements_text(facts->'applied') FROM audit WHERE action = 'schema.migrated')
HAVING count(*) > 0

-- name: record_forced_circuit
-- Insert which circuit was forced to which state: by its generation, which a repeated command does not change.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'circuit.forced', %(subject)s, %(actor)s, %(request_id)s, %(facts)s::jsonb
WHERE NOT EXISTS (SELECT FROM audit WHERE action = 'circuit.forced' AND facts @> %(facts)s::jsonb)
