"""Admission of requests by limit and Idempotency-Key: pure, its store is passed in."""
