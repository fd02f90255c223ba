-- What the payouts of a run need: commissions of months that are over. Run as a superuser without triggers.

-- name: date_back
-- Date the agents' commissions two months back.
UPDATE commissions SET earned_on = (earned_on - interval '2 months')::date WHERE agent_id::text = ANY(%(agents)s)

-- name: months_that_are_over
-- Select the two months before this one; both begin after, or in, the month of those commissions.
SELECT to_char(date_trunc('month', current_date) - n * interval '1 month', 'YYYY-MM') FROM generate_series(1, 2) n
