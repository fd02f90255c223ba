-- The facts to judge a history by. Read as the superuser, on the present writer unless it says otherwise.

-- name: position
-- The present end of the log.
SELECT pg_current_wal_lsn()::text AS lsn

-- name: clock
-- The database's clock, as the time of a commit is read from it.
SELECT extract(epoch FROM clock_timestamp())::float8 AS now

-- name: commits
-- Every commit in the log between two positions, in its order; a transaction's subtransactions are in `also`.
SELECT xid::text::bigint AS xid, (start_lsn - '0/0'::pg_lsn)::bigint AS lsn,
       extract(epoch FROM split_part(description, ';', 1)::timestamptz)::float8 AS at,
       coalesce(substring(description FROM 'subxacts: ([0-9 ]+)'), '') AS also
FROM pg_get_wal_records_info(%(since)s::pg_lsn, %(until)s::pg_lsn)
WHERE resource_manager = 'Transaction' AND record_type = 'COMMIT'
ORDER BY start_lsn

-- name: switch
-- Where the log of a promoted server leaves that of its former writer, and its name's first eight digits.
SELECT pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.history') AS lines

-- name: audits
-- Every audit entry, with the transaction that inserted it: entries are never changed.
SELECT request_id AS request, action, subject_id::text AS subject, xmin::text::bigint AS xid FROM audit

-- name: note_keys
-- Note from now on which transaction inserts each key's row. The row does not tell it: the relay changes it later.
CREATE SCHEMA IF NOT EXISTS stress;
CREATE TABLE IF NOT EXISTS stress.key_transactions (key text NOT NULL, xid bigint NOT NULL);
CREATE OR REPLACE FUNCTION stress.note_key() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO stress.key_transactions VALUES (NEW.key, pg_current_xact_id()::xid::text::bigint);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER note_key AFTER INSERT ON idempotency_keys
    FOR EACH ROW EXECUTE FUNCTION stress.note_key()

-- name: keys
-- Every key, with the transaction that inserted its row: it takes the key and keeps the answer.
SELECT key, xid FROM stress.key_transactions

-- name: rows
-- The version of each record that has one.
SELECT id::text AS record, version FROM claims
UNION ALL SELECT id::text, version FROM members
UNION ALL SELECT id::text, version FROM agents

-- name: jobs
-- Every job: the request that wrote it, or else its own id, and its recipient if it is a mail.
SELECT id::text AS id, coalesce(payload->>'template', kind) AS template,
       coalesce(payload->'origin'->>'request_id', id::text) AS request, state,
       CASE WHEN kind = 'mail' THEN replace(payload->>'to', 'account:', '') END AS to,
       coalesce(last_error = 'superseded', false) AS dropped
FROM outbox

-- name: accounts
-- Whose each mail address is; addresses are not published.
SELECT email, id::text AS id FROM accounts
