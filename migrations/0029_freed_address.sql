-- The address of an account whose own was freed: no mail reaches it (RFC 2606), and nothing of the record changes any more.
CREATE FUNCTION freed_address(account uuid) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN 'freed.' || account::text || '@address.invalid';
