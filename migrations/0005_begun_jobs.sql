-- Whether a job's mail may have left: false only between a worker's claim and the moment right before it sends. A worker
-- that dies in between has done nothing, so its job is tried again. True by default: workers of an earlier version, which
-- don't write it, may be anywhere.

ALTER TABLE outbox ADD COLUMN begun boolean NOT NULL DEFAULT true;
