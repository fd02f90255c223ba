"""The database, and the only home of psycopg: one connection, and whole transactions in one round trip each."""
