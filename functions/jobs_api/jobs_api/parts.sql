-- Parts of the statements in queries.sql: {name} there stands for the part of that name.

-- name: columns_of_job
-- Select what admins see of a job `o` of the outbox; nothing that its mail says, and nobody's name or address.
o.id, o.kind, {template_of_job} AS template, o.priority, o.state, o.attempts, o.last_error, o.dismissal, o.subject_id,
CASE o.state
    WHEN 'pending' THEN CASE WHEN o.last_error = 'circuit-open' OR o.last_error = 'mail-rate' THEN o.last_error
                             WHEN o.last_error IS NOT NULL THEN 'retry' ELSE 'due' END
    WHEN 'queued' THEN 'due' WHEN 'failed' THEN 'given-up' WHEN 'uncertain' THEN 'outcome-unknown'
    ELSE o.state END AS reason,
round(greatest(0, extract(epoch FROM clock_timestamp() - o.created_at)), 1) AS age_s,
CASE WHEN o.state = 'pending' THEN o.available_at END AS due_at,
o.created_at, o.updated_at
