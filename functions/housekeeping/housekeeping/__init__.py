"""Housekeeping: what time does to records, every hour."""
