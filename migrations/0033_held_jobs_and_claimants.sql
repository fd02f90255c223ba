-- Admins list the jobs that have not begun, and see when each is due; operators see how many wait for an open circuit.
-- Staff see whose claim it is.

CREATE INDEX outbox_pending ON outbox (id DESC) WHERE state IN ('pending', 'queued');
-- It has rows only while a circuit is open: health counts them each minute.
CREATE INDEX outbox_held ON outbox (created_at) WHERE state = 'pending' AND last_error = 'circuit-open';

GRANT SELECT (available_at) ON outbox TO interdomestik_jobs;

-- Whose claim it is, as staff see it; the function reads no more of a member.
CREATE VIEW claimant_view AS
SELECT m.id, jsonb_build_object('id', m.id, 'number', m.number, 'full_name', a.full_name) AS member
FROM members m JOIN accounts a ON a.id = m.id;
GRANT SELECT ON claimant_view TO interdomestik_app, interdomestik_claims;
