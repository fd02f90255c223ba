-- The outbox: every function writes to it in the transaction of the business row. A trigger stores the facts of a mail
-- with its job, so the statement that inserts the job follows those that write what the mail is about.

-- name: enqueue
-- Insert a job for the worker: it commits with the row that it is about, or not at all.
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT %(id)s, %(kind)s, %(priority)s, %(subject_id)s, %(payload)s::jsonb || jsonb_build_object('origin', %(origin)s::jsonb)
WHERE %(if_written)s::text IS NULL OR is_written_here(%(if_written)s, %(subject_id)s)

-- name: enqueue_once_a_day
-- Insert a mail to an unproven address, if it is the first of its template in 24 hours.
WITH first_today AS (
    INSERT INTO greetings AS g (address, template) VALUES (%(address)s, %(template)s)
    ON CONFLICT (address, template) DO UPDATE SET sent_at = now() WHERE g.sent_at <= now() - interval '24 hours'
    RETURNING 1)
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT %(id)s, %(kind)s, %(priority)s, %(subject_id)s, %(payload)s::jsonb || jsonb_build_object('origin', %(origin)s::jsonb)
FROM first_today
