"""Fixtures that run each test here on PostgreSQL 17, which is deployed, and on the next version."""

import sys

import pytest

NEEDS_PYTHON = {"18": (3, 12)}  # of the package of that version


@pytest.fixture(scope="package", params=["17", "18"])
def version(request: pytest.FixtureRequest) -> str:
    """Return a version of PostgreSQL."""
    version = str(request.param)
    if sys.version_info < NEEDS_PYTHON.get(version, (0,)):
        pytest.skip(f"the package with PostgreSQL {version} needs Python {NEEDS_PYTHON[version]}")
    return version
