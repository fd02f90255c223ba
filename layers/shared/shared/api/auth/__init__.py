"""Callers: their access tokens, and what their accounts are asked for."""
