"""The database, and the only home of psycopg: one connection, whole transactions, one flight each."""
