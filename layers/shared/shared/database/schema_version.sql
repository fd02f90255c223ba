-- name: schema_version
-- Select the newest applied migration, and which of those that a release ships with are not applied.
SELECT (SELECT max(version) FROM schema_migrations) AS newest,
       ARRAY(SELECT each FROM unnest(%(shipped)s::text[]) AS each
             WHERE each NOT IN (SELECT version FROM schema_migrations) ORDER BY each) AS missing
