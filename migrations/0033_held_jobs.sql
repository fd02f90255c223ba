-- Admins list the jobs that have not begun, and see when each is due; operators see how many wait for an open circuit.

CREATE INDEX outbox_pending ON outbox (id DESC) WHERE state IN ('pending', 'queued');
-- It has rows only while a circuit is open: health counts them each minute.
CREATE INDEX outbox_held ON outbox (created_at) WHERE state = 'pending' AND last_error = 'circuit-open';

GRANT SELECT (available_at) ON outbox TO interdomestik_jobs;
