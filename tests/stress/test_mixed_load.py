"""The mix in trouble: the restart meets calls on any machine, and a dead mail service is seen to refuse."""

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from stress.faults import FaultLog
from stress.ledger import CallLedger, CallSample, PlannedCall
from stress.load_generator import RunClock
from stress.scenarios import mixed_load
from tests.stress.calls import make_call, make_sample, set_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CALLS = 20
POLLS = 5
ADDRESS = "besa@example.test"


class SequentialMachine:
    """A system that answers one call after another, each after a given time, and notes when it was broken.

    Its worker meets the mail service, and is refused, at the POLLS-th look; without a worker nothing is ever refused.
    """

    scenario = "claims"

    def __init__(self, each_s: float, *, has_worker: bool = True, rows: "Sequence[Mapping[str, Any]]" = ()) -> None:
        self.ledger, self.clock = CallLedger(), RunClock()
        self.crashes: list[int] = []  # how many calls of its mix had their answer at each
        self.controls: list[dict[str, object]] = []
        self._each_s = each_s
        self._has_worker = has_worker
        self._rows = list(rows)
        self._looks = 0

    async def send_burst(self, calls: "Sequence[PlannedCall]") -> list[CallSample]:
        """Answer them."""
        for made in calls:
            await asyncio.sleep(self._each_s)
            now = self.clock.read_now()
            self.ledger.note(set_times(make_sample(made), sent_s=0.0, done_s=now))
        return self.ledger.samples[-len(calls) :]

    async def crash_database_after(self, _query: str, params: "Mapping[str, Any]", database: str) -> None:
        """Wait for the first record of the mix, and note how many had their answer then."""
        assert (params, database) == ({"names": [ADDRESS] * CALLS}, "database")
        before = len(self.ledger.samples)
        while len(self.ledger.samples) == before:
            await asyncio.sleep(0.001)
        self.crashes.append(len(self.ledger.samples) - before)

    async def control_mail(self, **changes: object) -> dict[str, Any]:
        """Note the changes; return how many mails were refused."""
        if changes:
            self.controls.append(changes)
        else:
            self._looks += 1
        return {"failed": int(self._has_worker and self._looks >= POLLS)}

    async def query_rows(self, query: str, _params: object = None) -> "list[Any]":
        """Return the records, or the jobs: one is open while mail is down and a worker is there to do it."""
        if "FROM accounts" in query:
            return self._rows
        is_down = bool(self.controls) and self.controls[-1].get("down") is True
        return [object()] if is_down and self._has_worker and "accounts" not in query and "claims" not in query else []


def run_mix(machine: SequentialMachine, run: Any, rounds: int = 1) -> mixed_load.MixedLoadResult:
    """Run the mix on a system, so often."""
    context = SimpleNamespace(
        profile=SimpleNamespace(mix_rounds=rounds),
        ledger=machine.ledger,
        generator=machine,
        target=machine,
        faults=FaultLog(machine.clock),
        show_progress=lambda _text: None,
    )
    calls = [make_call(body={"email": ADDRESS})] * CALLS
    system = SimpleNamespace(name="after", generator=machine, make_mix=lambda _wanted: calls, database="database")
    result: mixed_load.MixedLoadResult = asyncio.run(run(cast("Any", context), cast("Any", system)))
    return result


@pytest.mark.parametrize("each_s", [0.002, 0.01, 0.05])
def test_a_restart_meets_calls_however_fast_the_machine_is(each_s: float) -> None:
    """It follows the first record, and not a time that a burst was once seen to take."""
    machine = SequentialMachine(each_s)
    mix = run_mix(machine, mixed_load.run_with_restart)
    [crashed_after] = machine.crashes
    assert 1 <= crashed_after < CALLS
    assert (len(mix.accepted), len(mix.samples), mix.in_progress) == (CALLS, CALLS, CALLS - crashed_after)


def test_each_of_two_mixes_has_a_restart_of_its_own() -> None:
    machine = SequentialMachine(0.002)
    mix = run_mix(machine, mixed_load.run_with_restart, rounds=2)
    assert len(mix.samples) == 2 * CALLS
    assert len(machine.crashes) == 2


def test_of_two_restarts_the_one_that_met_fewer_calls_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that met nobody has proven nothing, whatever the other met."""
    met = iter((7, 0))

    async def run_with_one_restart(*_: object) -> mixed_load.MixedLoadResult:
        return mixed_load.MixedLoadResult([], in_progress=next(met))

    monkeypatch.setattr(mixed_load, "_run_with_one_restart", run_with_one_restart)
    assert run_mix(SequentialMachine(0.0), mixed_load.run_with_restart, rounds=2).in_progress == 0


@pytest.mark.parametrize("run", [mixed_load.run_with_slow_mail, mixed_load.run_with_dead_mail])
def test_two_mixes_meet_the_same_trouble(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail is slow, or down, once for both."""
    monkeypatch.setattr(mixed_load, "REFUSED_POLL_S", 0.001)
    machine = SequentialMachine(0.0)
    assert len(run_mix(machine, run, rounds=2).samples) == 2 * CALLS
    assert len(machine.controls) == 2


def test_a_refused_mail_is_waited_for_beyond_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker may come later than the answers: counted at the last of them, none would be refused."""
    monkeypatch.setattr(mixed_load, "REFUSED_POLL_S", 0.001)
    machine = SequentialMachine(0.0)
    assert run_mix(machine, mixed_load.run_with_dead_mail).refused_mails == 1
    assert machine.controls == [{"down": True}, {"down": False}]


def test_nothing_is_waited_for_once_no_job_is_left() -> None:
    """Then no mail was refused, and the check says so."""
    assert run_mix(SequentialMachine(0.0, has_worker=False), mixed_load.run_with_dead_mail).refused_mails == 0


def test_slow_mail_is_normal_again_after_the_mix() -> None:
    machine = SequentialMachine(0.0)
    run_mix(machine, mixed_load.run_with_slow_mail)
    assert machine.controls == [{"delay_s": mixed_load.SLOW_MAIL_S}, {"delay_s": 0.0}]


@pytest.mark.parametrize(("counts", "found"), [((1, 1), (0, 0)), ((1,), (1, 0)), ((3, 1), (0, 2)), ((), (2, 0))])
def test_lost_and_doubled_records_are_counted(counts: tuple[int, ...], found: tuple[int, int]) -> None:
    """Each accepted call has one record, by its address or its title."""
    names = ("a@example.test", "b@example.test")
    rows = [{"name": name, "n": count} for name, count in zip(names, counts, strict=False)]
    machine = SequentialMachine(0.0, rows=rows)
    samples = [make_sample(make_call(body={"email": name})) for name in names]
    context = cast("Any", SimpleNamespace(target=machine))
    assert asyncio.run(mixed_load.count_records(context, samples)) == found
