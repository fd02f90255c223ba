"""The scenarios: each a promise, and the checks that prove or disprove it."""
