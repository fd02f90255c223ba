-- How long jobs wait is counted from when they were written, or from when a person had them done again: retries and delays
-- move `available_at`, so a job that is put off for ever would never look late.

ALTER TABLE outbox ADD COLUMN replayed_at timestamptz;
COMMENT ON COLUMN outbox.replayed_at IS 'When a person last had the job done again.';

CREATE INDEX outbox_waiting ON outbox (priority, greatest(created_at, replayed_at))
    WHERE state IN ('pending', 'queued', 'running');
CREATE INDEX outbox_high_trouble ON outbox (id) WHERE priority = 'high' AND state IN ('failed', 'uncertain');
