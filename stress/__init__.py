"""The readiness report: drives a running stack over HTTP and SQL, and proves or disproves each promise."""
