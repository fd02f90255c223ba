"""The transactional outbox: jobs and audit entries that commit with the row they are about."""
