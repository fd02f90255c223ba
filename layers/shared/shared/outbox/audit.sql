-- The audit: every function writes to it in the transaction of the business row.

-- name: record
-- Insert who did what to which record (their own if none is named), in which request.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(id)s, %(action)s, s.id, %(actor)s, %(request_id)s, %(facts)s::jsonb
FROM (SELECT coalesce(%(subject_id)s::uuid, account_of(%(actor)s)) AS id) s
WHERE %(if_written)s::text IS NULL OR is_written_here(%(if_written)s, s.id)

-- name: record_migrations
-- Insert one entry with all applied migrations that are in no entry yet: a run may die before it has written its entry.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(id)s, 'schema.migrated', %(subject)s, %(actor)s, %(request_id)s,
       jsonb_build_object('applied', jsonb_agg(version ORDER BY version))
FROM schema_migrations
WHERE version NOT IN (SELECT jsonb_array_elements_text(facts->'applied') FROM audit WHERE action = 'schema.migrated')
HAVING count(*) > 0
