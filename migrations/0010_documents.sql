-- Places of documents: an announcement holds one only while its upload form is valid, a removed document holds none.
-- Expand only: what ran on the schema before this one runs on it too, and does not see removed documents.

ALTER TABLE documents DROP CONSTRAINT documents_state_check, DROP CONSTRAINT documents_check;
ALTER TABLE documents
    ADD CONSTRAINT documents_state_check CHECK (state IN ('pending', 'available', 'rejected', 'removed')),
    ADD CONSTRAINT documents_place CHECK (
        CASE state WHEN 'available' THEN slot IS NOT NULL WHEN 'pending' THEN true ELSE slot IS NULL END);

CREATE OR REPLACE VIEW document_view AS
SELECT d.id, d.claim_id, d.file_name, d.content_type, d.size, d.state, d.created_at, d.updated_at,
       d.object_key, m.identity_sub AS owner_sub
FROM documents d
JOIN claims c ON c.id = d.claim_id
JOIN accounts m ON m.id = c.member_id
WHERE d.state <> 'removed';
