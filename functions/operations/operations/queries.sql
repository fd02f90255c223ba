-- The audit entry of an operators' command that is about no record. A command may die before it has written its entry, so
-- a repetition writes a missing entry, and none twice.

-- name: record_forced_circuit
-- Insert which circuit was forced to which state: by its generation, which a repeated command does not change.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'circuit.forced', %(subject)s, %(actor)s, %(request_id)s, %(facts)s::jsonb
WHERE NOT EXISTS (SELECT FROM audit WHERE action = 'circuit.forced' AND facts @> %(facts)s::jsonb)
