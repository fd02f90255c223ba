-- All statements that compare a restored database with what outlived it: keys' records, objects and identities.

-- name: unfinished_mails
-- Select mails that had not ended at the moment of the restore, and were neither written nor replayed since.
SELECT o.id, {template_of_job} AS template, o.subject_id FROM outbox o
WHERE o.kind = 'mail' AND o.state IN ('pending', 'queued', 'running')
  AND coalesce(o.replayed_at, o.created_at) <= %(restored_to)s AND o.id > coalesce(%(after)s::uuid, %(zero)s)
ORDER BY o.id LIMIT %(count)s

-- name: mark_possibly_sent
-- Mark these mails as uncertain, each with its audit entry: they may have been sent between that moment and the
-- disaster, so a person decides.
WITH ours AS (
    SELECT id FROM outbox WHERE id = ANY(%(ids)s) AND state IN ('pending', 'queued', 'running')
    ORDER BY id FOR NO KEY UPDATE
), marked AS (
    UPDATE outbox o SET
        state = 'uncertain', last_error = 'restored', begun = true, leased_until = NULL, updated_at = now()
    FROM ours WHERE o.id = ours.id
    RETURNING o.id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'job.marked_uncertain', id, %(actor)s, %(request_id)s,
       jsonb_build_object('restored_to', %(restored_to)s::timestamptz)
FROM marked

-- name: lost_keys
-- Select the records whose write is not in the database: no row has the key, or only one of a later call or of an
-- earlier life of the key. A row may be older than its record by a key's life, if the first answer was lost and the
-- client repeated its call. The hash is that of the state table; rows from before `since` belong to none of these.
SELECT r.record
FROM unnest(%(records)s::text[], %(answered)s::timestamptz[]) AS r(record, answered_at)
WHERE NOT EXISTS (
    SELECT FROM idempotency_keys k
    WHERE k.created_at >= %(since)s AND k.created_at >= r.answered_at - %(oldest_row)s
      AND k.created_at <= r.answered_at + %(youngest_row)s
      AND encode(sha256(convert_to(k.scope, 'UTF8') || '\x00'::bytea || convert_to(k.key, 'UTF8')), 'hex') = r.record)

-- name: kept_since
-- Select the time since which the rows of all keys are there. Housekeeping deletes rows after a day, the oldest first:
-- an older row shows that it has deleted none that is younger.
SELECT least(min(created_at), now() - %(life)s) AS since FROM idempotency_keys

-- name: record_lost_writes
-- Insert an audit entry for each lost write, unless an earlier run has: the list outlives the command that made it.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'write.lost', w.subject_id, %(actor)s, %(request_id)s, w.facts::jsonb
FROM unnest(%(subjects)s::uuid[], %(facts)s::text[]) AS w(subject_id, facts)
WHERE NOT EXISTS (
    SELECT FROM audit a WHERE a.action = 'write.lost' AND a.subject_id = w.subject_id AND a.facts @> w.facts::jsonb)

-- name: skip_numbers
-- Move a sequence past the numbers that people were told, so that nobody else gets them.
SELECT skip_numbers(%(sequence)s, %(past)s)

-- name: skip_unknown_numbers
-- Move each sequence past the numbers that the restored database has given, by `count` and one more for each lost write.
WITH given AS (
    SELECT 'member_numbers' AS sequence, number FROM members
    UNION ALL SELECT 'claim_numbers', number FROM claims
    UNION ALL SELECT 'payout_numbers', number FROM payout_statements
), last_given AS (
    SELECT s.sequence, coalesce(max(substring(g.number FROM '[[:digit:]]+$')::bigint), 0) AS last
    FROM unnest(ARRAY['member_numbers', 'claim_numbers', 'payout_numbers']) AS s(sequence)
    LEFT JOIN given g ON g.sequence = s.sequence GROUP BY s.sequence
), lost AS (SELECT count(*) AS n FROM audit WHERE action = 'write.lost')
SELECT skip_numbers(last_given.sequence, last_given.last + %(count)s + lost.n) FROM last_given, lost

-- name: renew_announcements
-- Date the announcements of pending documents anew: housekeeping rejects a document a day after its announcement, and
-- in its last hour it can't be completed.
WITH announced AS (
    SELECT id, created_at FROM documents WHERE object_key = ANY(%(upload_keys)s) AND state = 'pending'
    ORDER BY id FOR NO KEY UPDATE
), renewed AS (
    UPDATE documents d SET created_at = now(), updated_at = now() FROM announced WHERE d.id = announced.id
    RETURNING d.id, announced.created_at AS announced_at)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT gen_random_uuid(), 'document.announcement_renewed', id, %(actor)s, %(request_id)s,
       jsonb_build_object('announced_at', announced_at)
FROM renewed

-- name: unnamed_objects
-- Select the objects that no document names; with the key of its upload if the document waits for its completion again.
SELECT o.key AS name, d.object_key AS upload_key
FROM unnest(%(names)s::text[]) AS o(key)
LEFT JOIN documents d ON d.state = 'pending' AND d.object_key
    = 'uploads/' || split_part(o.key, '/', 2) || '/' || split_part(o.key, '/', 3)
WHERE NOT EXISTS (SELECT FROM documents n WHERE n.object_key = o.key)

-- name: unlinked_identities
-- Select the identities that no account is linked to.
SELECT i.sub AS name FROM unnest(%(names)s::text[]) AS i(sub)
WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.identity_sub = i.sub)
