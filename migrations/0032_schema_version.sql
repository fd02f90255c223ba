-- Health compares the applied migrations with those that its release ships with (docs/decisions/0053).

GRANT SELECT (version) ON schema_migrations TO interdomestik_health;
