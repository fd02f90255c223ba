"""What the functions share: the API, jobs and audit, the database, AWS, and the mechanisms below them."""
