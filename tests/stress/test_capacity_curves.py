"""The restart of the database in the midst of a burst: it meets calls on a fast machine and on a slow one."""

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from stress.faults import FaultLog
from stress.ledger import CallLedger, CallSample, PlannedCall
from stress.load_generator import RunClock
from stress.scenarios import capacity_curves
from tests.stress.calls import make_call, make_sample, set_times

if TYPE_CHECKING:
    from collections.abc import Sequence

CALLS = 20


class SequentialMachine:
    """A system that answers one call after another, each after so many seconds, and notes when it was broken."""

    scenario = "claims"

    def __init__(self, each_s: float) -> None:
        self.ledger, self.clock = CallLedger(), RunClock()
        self.crashed_after: int | None = None
        self._each_s = each_s

    async def send_burst(self, calls: "Sequence[PlannedCall]") -> list[CallSample]:
        """Answer them."""
        for made in calls:
            await asyncio.sleep(self._each_s)
            now = self.clock.read_now()
            self.ledger.note(set_times(make_sample(made), sent_s=0.0, done_s=now))
        return self.ledger.samples[-len(calls) :]

    async def crash_database(self) -> None:
        """Note how many had their answer then."""
        self.crashed_after = len(self.ledger.samples)

    async def control_mail(self, **_changes: object) -> None:
        """Nothing sends any."""

    async def query_rows(self, _query: str) -> list[object]:
        """No job is open."""
        return []


async def _skip_rest(_cloud: object) -> None:
    """It is rested."""


@pytest.mark.parametrize("each_s", [0.002, 0.01, 0.05])
def test_a_restart_meets_calls_however_fast_the_machine_is(each_s: float) -> None:
    """It follows the first answer, and not a time that a burst was once seen to take."""
    machine = SequentialMachine(each_s)
    faults = FaultLog(machine.clock)
    context = SimpleNamespace(ledger=machine.ledger, generator=machine, faults=faults, show_progress=lambda _text: None)
    side = SimpleNamespace(
        name="after", generator=machine, cloud=machine, reset=_skip_rest, make_mix=lambda: [make_call()] * CALLS
    )
    mix = asyncio.run(capacity_curves.run_mixed_load(cast("Any", context), cast("Any", side)))
    assert machine.crashed_after is not None
    assert 1 <= machine.crashed_after < CALLS
    assert (mix.accepted_share, mix.calls, mix.in_progress) == (1.0, CALLS, CALLS - machine.crashed_after)
