"""Relay: moves committed jobs from the outbox to SQS."""
