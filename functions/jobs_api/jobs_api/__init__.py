"""The API for failed and uncertain jobs."""
