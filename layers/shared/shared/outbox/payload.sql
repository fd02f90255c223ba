-- The format of a job's payload (payload.py) as parts of statements: {name} in a .sql file stands for the part of that name.

-- name: enqueue_mails
-- The end of a statement whose CTE `mails` selects job_id, priority, template, subject_id, account_id (null: to the desk), facts.
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT job_id, 'mail', priority, subject_id, jsonb_build_object(
    'template', template, 'to', coalesce('account:' || account_id, 'desk'), 'facts', facts)
FROM mails

-- name: account_of_job
-- The account that a job `o` of the outbox is for; null for the desk, and where what it names is no id.
CASE WHEN pg_input_is_valid(coalesce(substr(o.payload->>'to', 9), o.payload->>'account_id'), 'uuid')
     THEN coalesce(substr(o.payload->>'to', 9), o.payload->>'account_id')::uuid END

-- name: template_of_job
-- The template of a job `o` that is a mail; null for any other.
o.payload->>'template'
