"""A PostgreSQL proxy that behaves like RDS Proxy: in a thread for tests, in a process for `make up`."""
