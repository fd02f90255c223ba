-- Rights to the columns that came after the functions had roles of their own (docs/decisions/0028).

GRANT SELECT (dismissal), UPDATE (dismissal) ON outbox TO interdomestik_jobs;
GRANT INSERT (ends_on) ON membership_reminders TO interdomestik_housekeeping;

-- How many mails have left, by which health tells how long one may wait.
GRANT SELECT (kind, begun, last_error, updated_at) ON outbox TO interdomestik_health;
