"""Negative controls: the system broken on purpose, and whether the readiness report detects it."""
