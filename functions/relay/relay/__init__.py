"""Relay: committed jobs on their way from the outbox to SQS."""
