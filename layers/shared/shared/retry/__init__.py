"""Retries: how long to wait before them, and how many are allowed. Pure: clock and randomness are passed in."""
