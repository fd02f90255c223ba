"""A world for the tests that kill, and processes to kill in it."""

from collections.abc import Iterator, Mapping

import pytest

from tests.databases import Blank
from tests.killing.campaign import Twin, unkilled
from tests.killing.requests import USE_CASES
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


@pytest.fixture(scope="module")
def twins(killing: World, processes: Processes) -> Mapping[str, Twin]:
    """Each use case run once, without a kill."""
    return {use_case.name: unkilled(killing, processes, use_case) for use_case in USE_CASES}
