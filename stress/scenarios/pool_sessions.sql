-- What PostgreSQL shows of the functions' sessions, and what limits them. Read as a superuser, past the pool.

-- name: sessions
-- Sessions of the functions' roles in this database: how many are open, and in how many a write waits that the harness has made slow.
SELECT count(*) AS open, count(*) FILTER (WHERE wait_event = 'PgSleep') AS writing
FROM pg_stat_activity WHERE datname = current_database() AND usesysid IN (
    SELECT member FROM pg_auth_members WHERE roleid = 'interdomestik_functions'::regrole AND NOT admin_option)

-- name: limits
-- The CONNECTION LIMITs: the different ones of the functions' roles, and the database's.
SELECT (SELECT array_agg(DISTINCT rolconnlimit) FROM pg_roles WHERE oid IN (
           SELECT member FROM pg_auth_members WHERE roleid = 'interdomestik_functions'::regrole AND NOT admin_option)
       ) AS roles,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database
