-- Written by every room in the transaction of the business row.

-- name: enqueue
-- A job for the worker: committed with what it is about, or not at all.
INSERT INTO outbox (id, kind, priority, subject_id, payload)
VALUES (%(id)s, %(kind)s, %(priority)s, %(subject_id)s, %(payload)s::jsonb)

-- name: record
-- Who did what to which record (their own where none is named), in which request.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
VALUES (%(id)s, %(action)s, coalesce(%(subject_id)s::uuid, account_of(%(actor)s)), %(actor)s, %(request_id)s, %(facts)s::jsonb)
