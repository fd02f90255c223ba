"""What the claims' tests start from."""

import pytest

from tests.databases import Blank
from tests.integration.claims.cases import Cases


@pytest.fixture
def cases(blank: Blank) -> Cases:
    """Cases on the module's database, with an empty bucket."""
    return Cases.on(blank)
