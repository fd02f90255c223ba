"""The emulator as the local cloud starts it, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import emulator
from local.deploy import EmulatorClients
from local.emulator import Emulator
from local.processes import ChildProcess
from tests.services import EMULATOR_PYTHON, find_free_port


@contextmanager
def start_emulator(folder: Path) -> Iterator[tuple[EmulatorClients, ChildProcess]]:
    """Yield a running emulator with its state in `folder`, which may be of an earlier one; ended kindly."""
    aws = Emulator(folder, find_free_port(), folder.with_suffix(".log"), str(EMULATOR_PYTHON))
    child = emulator.start(aws)
    try:
        child.wait_until(lambda: emulator.is_ready(aws), emulator.READY_SECONDS)
        yield EmulatorClients(aws.url), child
    finally:
        child.stop()
