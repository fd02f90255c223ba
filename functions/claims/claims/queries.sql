-- All statements of the claims function, in the lock order accounts, members, claims, claim_history, documents, … An
-- account or a member that a later row's foreign key would lock is locked in its turn before.

-- name: require_account
-- Require that the caller has an account here; a token without one may do nothing.
SELECT require((SELECT true FROM accounts WHERE identity_sub = %(sub)s FOR KEY SHARE), 'forbidden')

-- name: require_member
-- Require a member: only members have claims.
SELECT require((
    SELECT true FROM accounts a JOIN members m USING (id) WHERE a.identity_sub = %(sub)s FOR KEY SHARE OF a, m),
    'membership-required')

-- name: insert_claim
-- Insert the claim as submitted; one trigger makes the day's number, another refuses it without a membership that gives
-- access.
INSERT INTO claims (id, member_id, submitted_on, category, title, company_name, description, incident_date,
                    incident_country, amount, currency)
VALUES (%(id)s, account_of(%(sub)s), %(today)s::date, %(category)s, %(title)s, %(company_name)s, %(description)s, %(incident_date)s,
        %(incident_country)s, %(amount)s::numeric, %(currency)s)

-- name: insert_first_history
-- Insert the first row of the history.
INSERT INTO claim_history (claim_id, version, to_state, actor_role, actor_id)
SELECT c.id, c.version, c.state, 'member', c.member_id FROM claims c WHERE c.id = %(id)s

-- name: enqueue_received
-- Insert the mail that confirms the claim to its member.
WITH mails AS (
    SELECT %(job_id)s AS job_id, 'normal' AS priority, 'claim-received' AS template, c.id AS subject_id,
           c.member_id AS account_id, '{}'::jsonb AS facts
    FROM claims c WHERE c.id = %(id)s)
{enqueue_mails}

-- name: enqueue_transition_mail
-- Insert the mail about the transition just written; going back to verification is a request for documents.
WITH mails AS (
    SELECT %(job_id)s AS job_id, 'normal' AS priority,
           CASE WHEN h.from_state = 'evaluation' AND h.to_state = 'verification'
                THEN 'documents-requested' ELSE 'claim-moved' END AS template,
           c.id AS subject_id, c.member_id AS account_id, jsonb_build_object('version', c.version::text) AS facts
    FROM claims c JOIN claim_history h ON h.claim_id = c.id AND h.version = c.version
    WHERE c.id = %(id)s)
{enqueue_mails}

-- name: claim
-- Select a claim for its owner or for staff, and for staff the member whose it is.
SELECT to_jsonb(c) - 'owner_sub' || jsonb_build_object(
           'member', CASE WHEN %(staff)s THEN (SELECT v.member FROM claimant_view v WHERE v.id = c.member_id) END) AS facts
FROM claim_view c
WHERE c.id = %(id)s AND (%(staff)s OR c.owner_sub = %(sub)s)

-- name: claims
-- Select a page of claims: all for staff, with the member of each; for a member their own.
SELECT c.id, to_jsonb(c) - 'owner_sub' || jsonb_build_object(
           'member', CASE WHEN %(staff)s THEN (SELECT v.member FROM claimant_view v WHERE v.id = c.member_id) END) AS facts
FROM claim_view c
WHERE c.id < %(after)s
  AND (%(staff)s OR c.owner_sub = %(sub)s)
  AND (%(number)s::text IS NULL OR c.number = %(number)s)
  AND (%(member_id)s::uuid IS NULL OR c.member_id = %(member_id)s)
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(assignee)s::text IS NULL
       OR c.assignee_id = CASE WHEN %(assignee)s = 'me' THEN account_of(%(sub)s) ELSE nullif(%(assignee)s, 'me')::uuid END)
  AND (%(stuck)s::boolean IS NULL OR coalesce(c.stuck, false) = %(stuck)s)
ORDER BY c.id DESC LIMIT %(count)s

-- name: record_list
-- Wrap the statement that lists claims for staff: insert the audit entry of which claims they were shown as well. Its
-- subject is their own account.
WITH page AS ({page}), recorded AS (
    INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
    SELECT %(audit_id)s, 'claims.listed', account_of(%(sub)s), %(sub)s, %(request_id)s,
           jsonb_build_object('claim_ids', jsonb_agg(p.id))
    FROM (SELECT id FROM page LIMIT %(count)s - 1) p HAVING count(*) > 0)
SELECT * FROM page ORDER BY id DESC

-- name: record_read
-- Insert the audit entry of a member of staff who read a claim or a document, if it exists.
INSERT INTO audit (id, action, subject_id, actor, request_id)
SELECT %(audit_id)s, %(action)s, %(id)s, %(actor)s, %(request_id)s
WHERE EXISTS (SELECT FROM claims WHERE id = %(id)s) OR EXISTS (SELECT FROM document_view WHERE id = %(id)s)

-- name: record_transition
-- Insert the audit entry of the transition: who made it, from which state to which. Its reason is in the history only.
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'claim.transitioned', c.id, %(actor)s, %(request_id)s,
       jsonb_build_object('from', h.from_state, 'to', h.to_state)
FROM claims c JOIN claim_history h ON h.claim_id = c.id AND h.version = c.version WHERE c.id = %(id)s

-- name: require_claim
-- Require that the claim exists, for its owner or staff; nobody else learns that it does.
SELECT require(EXISTS (
    SELECT FROM claims c JOIN accounts a ON a.id = c.member_id
    WHERE c.id = %(id)s AND (%(staff)s OR a.identity_sub = %(sub)s)), 'not-found')

-- name: lock_claim
-- Require that the claim exists, for its owner or staff, and lock it until the transaction ends.
SELECT require((
    SELECT true FROM claims c JOIN accounts a ON a.id = c.member_id
    WHERE c.id = %(id)s AND (%(staff)s OR a.identity_sub = %(sub)s)
    FOR NO KEY UPDATE OF c), 'not-found')

-- name: transitions
-- Select a page of the claim's transitions, the latest first.
SELECT lpad(to_hex(h.version), 32, '0')::uuid AS id,
       jsonb_build_object('version', h.version, 'from', h.from_state, 'to', h.to_state, 'reason', h.reason,
                          'decline_code', h.decline_code, 'by', h.actor_role, 'at', h.at) AS facts
FROM claim_history h
WHERE h.claim_id = %(id)s AND lpad(to_hex(h.version), 32, '0')::uuid < %(after)s
ORDER BY h.version DESC LIMIT %(count)s

-- name: require_right_to_transition
-- Require that the caller may make this transition; this comes after lock_claim, so only those who may see the claim get this refusal.
SELECT require(%(is_allowed)s, 'forbidden')

-- name: require_version
-- Require that the claim's version is one of those on which the change is based; null: any.
SELECT require((
    SELECT %(versions)s::int[] IS NULL OR c.version = ANY(%(versions)s::int[])
    FROM claims c WHERE c.id = %(id)s), 'stale-version')

-- name: require_transition
-- Require that the table of allowed transitions has this one.
SELECT require(EXISTS (
    SELECT FROM claims c JOIN claim_moves m ON m.from_state = c.state
    WHERE c.id = %(id)s AND m.to_state = %(to)s), 'move-not-allowed')

-- name: transition_claim
-- Write the claim's new state.
UPDATE claims SET state = %(to)s, version = version + 1, updated_at = now() WHERE id = %(id)s

-- name: insert_history
-- Insert the transition before the claim itself changes, since it also records the state that the claim leaves.
INSERT INTO claim_history (claim_id, version, from_state, to_state, reason, decline_code, actor_role, actor_id)
SELECT c.id, c.version + 1, c.state, %(to)s, %(reason)s, %(decline_code)s,
       CASE WHEN %(role)s = 'admin' THEN a.role ELSE %(role)s END, a.id
FROM claims c, accounts a WHERE c.id = %(id)s AND a.identity_sub = %(sub)s

-- name: lock_assignee
-- Lock the account of the new assignee, if it exists; whether it may have the claim is checked after locking the claim.
SELECT FROM accounts a WHERE a.id = coalesce(%(staff_id)s::uuid, account_of(%(sub)s)) FOR KEY SHARE

-- name: require_staff_member
-- Require an existing staff account as the assignee.
SELECT require(EXISTS (
    SELECT FROM accounts a WHERE a.id = coalesce(%(staff_id)s::uuid, account_of(%(sub)s))
    AND a.role IN ('staff', 'admin')), 'assignee-unknown')

-- name: assign
-- Assign the claim, to the caller if no id is named; the same assignee again changes nothing.
UPDATE claims SET assignee_id = coalesce(%(staff_id)s::uuid, account_of(%(sub)s)), version = version + 1, updated_at = now()
WHERE id = %(id)s AND assignee_id IS DISTINCT FROM coalesce(%(staff_id)s::uuid, account_of(%(sub)s))

-- name: unassign
-- Take the claim from its assignee; one that nobody has stays unchanged.
UPDATE claims SET assignee_id = NULL, version = version + 1, updated_at = now()
WHERE id = %(id)s AND assignee_id IS NOT NULL

-- name: require_open
-- Require that the claim is open: documents belong to a claim that somebody works on.
SELECT require((SELECT c.state FROM claims c WHERE c.id = %(id)s) NOT IN ('resolved', 'rejected', 'withdrawn'), 'claim-closed')

-- name: release_places
-- Release the places of announced documents whose form has expired; the claim is locked, so no two do this at once.
WITH over AS (
    SELECT id FROM documents
    WHERE claim_id = %(id)s AND state = 'pending' AND slot IS NOT NULL AND created_at <= now() - %(form_life)s
    ORDER BY id FOR UPDATE)
UPDATE documents d SET slot = NULL FROM over WHERE d.id = over.id

-- name: insert_document
-- Insert an announced document in the first free one of the ten places; `require_free_place` has checked that there is one.
INSERT INTO documents (id, claim_id, slot, file_name, content_type, size, object_key)
SELECT %(document_id)s, %(id)s, min(n), %(file_name)s, %(content_type)s, %(size)s, %(object_key)s
FROM generate_series(1, 10) n
WHERE n NOT IN (SELECT d.slot FROM documents d WHERE d.claim_id = %(id)s AND d.slot IS NOT NULL)

-- name: require_free_place
-- Require a free place: a claim has at most ten documents.
SELECT require((SELECT count(*) FROM documents d WHERE d.claim_id = %(id)s AND d.slot IS NOT NULL) < 10, 'too-many-documents')

-- name: document
-- Select a document of the claim for its owner or staff, and how it differed from the announcement.
SELECT to_jsonb(d) - 'owner_sub' || jsonb_build_object('mismatch', x.mismatch) AS facts
FROM document_view d JOIN documents x USING (id)
WHERE d.id = %(document_id)s AND d.claim_id = %(id)s AND (%(staff)s OR d.owner_sub = %(sub)s)

-- name: documents
-- Select a page of the claim's documents.
SELECT d.id, to_jsonb(d) - 'owner_sub' AS facts FROM document_view d
WHERE d.claim_id = %(id)s AND d.id < %(after)s
ORDER BY d.id DESC LIMIT %(count)s

-- name: lock_document
-- Lock the document until its check is recorded.
SELECT require((SELECT true FROM documents d WHERE d.id = %(document_id)s AND d.claim_id = %(id)s FOR NO KEY UPDATE), 'not-found')

-- name: require_not_expiring
-- Require that a pending document does not expire within the hour: after a day housekeeping rejects it and deletes its
-- object, which must not happen during a check.
SELECT require((SELECT d.state <> 'pending' OR d.created_at > now() - interval '23 hours'
                FROM documents d WHERE d.id = %(document_id)s), 'document-not-available')

-- name: require_open_for
-- Require that the document's claim is open, if the document is in one of these states; in others nothing changes.
SELECT require((
    SELECT d.state <> ALL(%(states)s::text[]) OR c.state NOT IN ('resolved', 'rejected', 'withdrawn')
    FROM documents d JOIN claims c ON c.id = d.claim_id WHERE d.id = %(document_id)s), 'claim-closed')

-- name: require_place_for_late_file
-- Require a free place for a file that was uploaded in time, but completed after its form had expired.
SELECT require((
    SELECT d.state <> 'pending' OR d.slot IS NOT NULL OR (
        SELECT count(*) FROM documents o WHERE o.claim_id = d.claim_id AND o.slot IS NOT NULL) < 10
    FROM documents d WHERE d.id = %(document_id)s), 'too-many-documents')

-- name: remove_document
-- Remove the document, which frees its place and hides it from everyone, and insert the audit entry.
WITH removed AS (
    UPDATE documents SET state = 'removed', slot = NULL, updated_at = now()
    WHERE id = %(document_id)s AND state IN ('pending', 'available')
    RETURNING id, claim_id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'document.removed', id, %(actor)s, %(request_id)s, jsonb_build_object('claim_id', claim_id)
FROM removed

-- name: removed_document
-- Select where the objects of a removed or rejected document were, so that they can be deleted.
SELECT jsonb_build_object('id', d.id, 'object_key', d.object_key, 'upload_key', 'uploads/' || d.claim_id || '/' || d.id) AS facts
FROM documents d WHERE d.id = %(document_id)s

-- name: record_check
-- Write the result of the check and the object's new place, and insert the audit entry; the first result stands.
WITH judged AS (
    UPDATE documents d SET state = %(check_result)s, mismatch = %(mismatch)s, object_key = %(object_key)s, updated_at = now(),
        slot = CASE WHEN %(check_result)s = 'available' THEN coalesce(d.slot, (
            SELECT min(n) FROM generate_series(1, 10) n
            WHERE n NOT IN (SELECT o.slot FROM documents o WHERE o.claim_id = d.claim_id AND o.slot IS NOT NULL))) END
    WHERE id = %(document_id)s AND state = 'pending'
    RETURNING id, claim_id)
INSERT INTO audit (id, action, subject_id, actor, request_id, facts)
SELECT %(audit_id)s, 'document.' || %(check_result)s, id, %(actor)s, %(request_id)s, jsonb_build_object('claim_id', claim_id)
FROM judged
