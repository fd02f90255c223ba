"""Housekeeping: the changes that time makes to records, every hour."""
