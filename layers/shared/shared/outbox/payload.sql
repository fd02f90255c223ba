-- The format of a job's payload (payload.py) as parts of statements: {name} in a .sql file stands for the part of that
-- name.

-- name: enqueue_mails
-- End a statement whose CTE `mails` selects job_id, priority, template, subject_id, account_id (null: to the claims
-- desk), facts; `origin` is format_origin()'s.
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT job_id, 'mail', priority, subject_id, jsonb_build_object(
    'template', template, 'to', coalesce('account:' || account_id, 'desk'), 'facts', facts,
    'origin', %(origin)s::jsonb)
FROM mails

-- name: account_of_job
-- Select the account that a job `o` of the outbox is for; null for the claims desk, and if the payload names no id.
CASE WHEN pg_input_is_valid(coalesce(substr(o.payload->>'to', 9), o.payload->>'account_id'), 'uuid')
     THEN coalesce(substr(o.payload->>'to', 9), o.payload->>'account_id')::uuid END

-- name: template_of_job
-- Select the template of a job `o` that is a mail; null for any other job.
o.payload->>'template'
