"""Housekeeping: the hourly changes to records that follow from time."""
