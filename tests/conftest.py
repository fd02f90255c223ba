"""Fixtures that every kind of test may ask for."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services", "tests.databases", "tests.crash_recovery.fixtures"]

# How long an example takes says how busy the machine is, not whether the code is right. CI tries the same examples
# each time; on a developer's machine others are tried, and a failure prints how to see it again.
settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("ours")
