"""A PostgreSQL proxy that does what RDS Proxy does, for tests in a thread and for `make up` in a process."""
