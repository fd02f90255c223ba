"""Admission of requests by rate limit and Idempotency-Key. Pure: the store is passed in."""
