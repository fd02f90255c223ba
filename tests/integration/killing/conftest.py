"""A world for the tests that kill."""

from collections.abc import Iterator

import pytest

from tests.databases import Blank
from tests.killing.world import Processes, World, world
from tests.services import Emulator


@pytest.fixture(scope="module")
def killing(blank: Blank, emulator: Emulator) -> Iterator[World]:
    """The module's own."""
    with world(blank, emulator) as made:
        yield made


@pytest.fixture(scope="module")
def processes(killing: World) -> Processes:
    """Fresh processes in it."""
    return killing.processes()
