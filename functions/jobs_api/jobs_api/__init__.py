"""The API for jobs that are not done."""
