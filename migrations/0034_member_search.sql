-- Staff find a member by part of a name or phone number, however the name is spelt: Besa Hoxha, Беса Хоџа, Besa Hodža.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- A text in small Latin letters without marks, Cyrillic written as passports write it, words parted by one space: what is
-- left of a name that somebody types on any keyboard. Letters of other scripts stay as they are.
CREATE FUNCTION fold_letters(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN trim(regexp_replace(
    regexp_replace(
        translate(
            normalize(
                replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
                replace(replace(
                    -- First the letters that become two, among them ѓ and ќ, which would lose their marks below.
                    translate(normalize(value, NFC), 'ЖЧШЉЊЏЅЂЃЌÆŒ', 'жчшљњџѕђѓќæœ'),
                    'ж', 'zh'), 'ч', 'ch'), 'ш', 'sh'), 'љ', 'lj'), 'њ', 'nj'), 'џ', 'dzh'), 'ѕ', 'dz'), 'ђ', 'dj'),
                    'ѓ', 'gj'), 'ќ', 'kj'), 'æ', 'ae'), 'œ', 'oe'), 'ß', 'ss'), 'þ', 'th'),
                NFKD),
            'ABCDEFGHIJKLMNOPQRSTUVWXYZ' || 'АаБбВвГгДдЕеЗзИиЈјКкЛлМмНнОоПпРрСсТтЋћУуФфХхЦц' || 'ĐđŁłØøı',
            'abcdefghijklmnopqrstuvwxyz' || 'aabbvvggddeezziijjkkllmmnnoopprrssttccuuffhhcc' || 'ddllooi'),
        '[\u0300-\u036f''`\u00b4\u02b9-\u02bf\u2018\u2019]', '', 'g'),
    '[\u0001-\u002f\u003a-\u0060\u007b-\u00bf\u2000-\u206f]+', ' ', 'g'));

-- A folded text by one spelling of the sounds that the languages spell differently: Hašim, Хашим and Hashim; Xhemal,
-- Џемал and Džemal; Gjorgji and Ѓорѓи; Djordje, Ђорђе and Đorđe; Anna and Ana.
CREATE FUNCTION unify_spelling(folded text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(
    regexp_replace(
        regexp_replace(replace(replace(replace(folded, 'xh', 'x'), 'x', 'dz'), 'q', 'k'), '([cdstz])h', '\1', 'g'),
        '([dgk])j', '\1', 'g'),
    '([a-z])\1+', '\1', 'g');

-- What a name is found by: in both forms, each word after a space.
CREATE FUNCTION make_search_text(name text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ' ' || fold_letters(name) || E'\n ' || unify_spelling(fold_letters(name));

-- The patterns of LIKE, one of which the search text of a name with that part matches. Fewer than three letters count at
-- the beginning of a word only: an index of three letters each can't find them elsewhere.
CREATE FUNCTION make_search_patterns(part text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ARRAY[
    CASE WHEN length(fold_letters(part)) < 3 THEN '% ' ELSE '%' END || fold_letters(part) || '%',
    CASE WHEN length(unify_spelling(fold_letters(part))) < 3 THEN '% ' ELSE '%' END
        || unify_spelling(fold_letters(part)) || '%'];

-- In a table of its own, since a new column would have to be filled in by changing every account, and an index on accounts
-- would be built while nobody can register. Its id refers to nothing: then 0035 can fill it without locking an account.
CREATE TABLE member_search (
    id uuid PRIMARY KEY,
    names text COLLATE "C" NOT NULL,
    phone text COLLATE "C" NOT NULL
);
COMMENT ON TABLE member_search IS 'What members are found by; triggers of members and accounts keep it up to date.';
CREATE INDEX member_search_names ON member_search USING gin (names gin_trgm_ops);
CREATE INDEX member_search_phone ON member_search USING gin (phone gin_trgm_ops);
-- Whether few or many names have a part is told from a sample of them: a rare name that the usual sample of a hundred has
-- by accident would be taken for one member in a hundred's, and looked for in all rows.
ALTER TABLE member_search ALTER COLUMN names SET STATISTICS 3000, ALTER COLUMN phone SET STATISTICS 1000;

-- With the member's row and after it, so that all transactions take their rows in one order (docs/decisions/0012).
CREATE FUNCTION keep_member_search() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO member_search (id, names, phone)
    SELECT a.id, make_search_text(a.full_name), coalesce(a.phone, '') FROM accounts a WHERE a.id = NEW.id
    ON CONFLICT (id) DO UPDATE SET names = EXCLUDED.names, phone = EXCLUDED.phone;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION keep_member_search() FROM PUBLIC;
CREATE TRIGGER members_search AFTER INSERT ON members
    FOR EACH ROW EXECUTE FUNCTION keep_member_search();
CREATE TRIGGER accounts_search AFTER UPDATE OF full_name, phone ON accounts
    FOR EACH ROW WHEN (NEW.role = 'member' AND (OLD.full_name, OLD.phone) IS DISTINCT FROM (NEW.full_name, NEW.phone))
    EXECUTE FUNCTION keep_member_search();

GRANT SELECT ON member_search TO interdomestik_app, interdomestik_members;
