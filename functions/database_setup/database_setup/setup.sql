-- The role that owns the schema, in a database that RDS has made for the main user; to be run as that user, and as often
-- as wanted. docs/how-to/deploy.md has the same for a database of somebody's own.
DO $setup$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'interdomestik') THEN
        CREATE ROLE interdomestik LOGIN CREATEROLE;
    END IF;
    GRANT interdomestik TO CURRENT_USER; -- only a member gives a database to a role
    ALTER DATABASE interdomestik OWNER TO interdomestik;
    GRANT rds_iam TO interdomestik WITH ADMIN OPTION; -- the migrate command passes it on to the functions' roles
END
$setup$
