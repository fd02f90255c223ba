-- A person can dismiss a job that did not end well: it is never done again, and nothing counts it as waiting any more.

ALTER TABLE outbox ADD COLUMN dismissal text
    CHECK (dismissal IN ('delivered', 'handled-otherwise', 'not-needed', 'undeliverable'));
COMMENT ON COLUMN outbox.dismissal IS 'Why a person dismissed the job.';

ALTER TABLE outbox DROP CONSTRAINT outbox_state_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_state_check
    CHECK (state IN ('pending', 'queued', 'running', 'done', 'failed', 'uncertain', 'dismissed'));
ALTER TABLE outbox ADD CONSTRAINT outbox_dismissal_reason CHECK (state <> 'dismissed' OR dismissal IS NOT NULL);

-- In the place of outbox_done, for what is deleted after its time.
CREATE INDEX outbox_ended ON outbox (updated_at) WHERE state IN ('done', 'dismissed');
DROP INDEX outbox_done;

-- A dismissed job is never done again, so its facts about people are deleted with those of the jobs that were done.
DROP TRIGGER outbox_forget_facts ON outbox;
CREATE TRIGGER outbox_forget_facts BEFORE UPDATE OF state ON outbox
    FOR EACH ROW WHEN (NEW.state IN ('done', 'dismissed') AND NEW.payload ? 'facts') EXECUTE FUNCTION forget_mail_facts();
