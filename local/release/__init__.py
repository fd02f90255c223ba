"""Releases of the local cloud: new versions are checked, get a share of the calls, and are promoted or rolled back."""
