-- After a restore to an earlier moment a sequence is behind the numbers that people were told since: the next member
-- would get the number of somebody else. An operator's command moves it past them. A function, since a statement that
-- names setval() would pin the proxy's connection.
CREATE FUNCTION skip_numbers(sequence regclass, past bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    reached bigint;
BEGIN
    EXECUTE format('SELECT last_value FROM %s', sequence) INTO reached;
    IF reached < past THEN
        PERFORM setval(sequence, past);
        RETURN true;
    END IF;
    RETURN false;
END $$;
REVOKE EXECUTE ON FUNCTION skip_numbers(regclass, bigint) FROM PUBLIC;
