-- A reminder that a change of the membership kept from leaving is written again where the end stayed as it was, as a pause
-- and a resumption on the same day leave it. Its row then names the new mail.

GRANT UPDATE (job_id) ON membership_reminders TO interdomestik_housekeeping, interdomestik_app;
GRANT SELECT (last_error) ON outbox TO interdomestik_housekeeping;
