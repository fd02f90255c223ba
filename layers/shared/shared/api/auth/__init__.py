"""Callers: their access tokens, and the roles that their accounts must have."""
