"""The readiness report: drives a running system over HTTP and SQL, and proves or disproves each promise."""
