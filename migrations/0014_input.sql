-- Amounts with as many decimals as their currency has (ISO 4217), and why a document was turned down.
-- Expand only: what runs on the schema before this one runs on it too.

-- Without a scale of its own an amount keeps the one it is written with: 250 yen, 250.000 dinars. A view that shows a
-- column keeps its type from being changed, so claim_view is taken away and put back as it was, grants included.
DO $$
DECLARE
    definition text := pg_get_viewdef('claim_view'::regclass);
    grants text[] := ARRAY(
        SELECT format('GRANT %s ON claim_view TO %I', g.privilege_type, pg_get_userbyid(g.grantee))
        FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = 'claim_view'::regclass AND g.grantee NOT IN (0, c.relowner));
    statement text;
BEGIN
    DROP VIEW claim_view;
    ALTER TABLE claims ALTER COLUMN amount TYPE numeric;
    EXECUTE 'CREATE VIEW claim_view AS ' || definition;
    FOREACH statement IN ARRAY grants LOOP
        EXECUTE statement;
    END LOOP;
END $$;
ALTER TABLE claims ADD CONSTRAINT claims_amount_fits CHECK (amount < 10000000000 AND scale(amount) <= 3);

-- What was written with two decimals whatever its currency; an amount that was wrong stays as its member wrote it.
UPDATE claims SET amount = round(amount, 0)
WHERE currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF', 'XPF')
  AND amount = round(amount, 0);
UPDATE claims SET amount = round(amount, 3)
WHERE currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND');

ALTER TABLE documents ADD COLUMN mismatch text
    CHECK (mismatch IN ('size', 'content_type', 'first_bytes')),
    ADD CONSTRAINT documents_mismatch_rejects CHECK (mismatch IS NULL OR state = 'rejected');
