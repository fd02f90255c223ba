"""Fixtures of the claims' tests."""

import pytest

from tests.databases import FreshDatabase
from tests.integration.claims.sample_claims import ClaimFixtures


@pytest.fixture
def claim_fixtures(fresh_database: FreshDatabase) -> ClaimFixtures:
    """Cases on the module's database, with an empty bucket."""
    return ClaimFixtures.make_in(fresh_database)
