"""Probes: all at once, none waited for past the deadline, none piled up."""

from collections.abc import Callable
from threading import Barrier, Event
from typing import Any

import pytest

from health.parallel_queries import HealthQuery, ParallelQueries
from shared.clock import read_monotonic

AT_ONCE_S = 5.0  # far more than is needed: only a hang takes so long


class HangingQuery:
    """A probe that waits until it is released."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = Event()
        self.release = Event()
        self.probe = HealthQuery("hanging", self.ask)

    def ask(self) -> str:
        self.begun += 1
        self.release.wait()
        self.ended.set()
        return "late"


def raise_about_a_person() -> Any:
    raise RuntimeError("besa@example.test")


def test_all_queries_run_at_the_same_time() -> None:
    """Two that wait for each other would never end in turn."""
    gate = Barrier(2, timeout=AT_ONCE_S)
    probes = [HealthQuery(name, lambda: gate.wait() >= 0) for name in ("one", "two")]
    outcomes = ParallelQueries().run(probes, within_s=AT_ONCE_S)
    assert {name: (o.failed, o.value) for name, o in outcomes.items()} == {"one": (False, True), "two": (False, True)}


def test_a_failure_is_an_outcome_and_keeps_its_words_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    """An exception's message may be about a person: neither the outcome nor the log has it."""
    outcome = ParallelQueries().run([HealthQuery("x", raise_about_a_person)], within_s=AT_ONCE_S)["x"]
    assert (outcome.failed, outcome.value) == (True, None)
    logged = " ".join(str(vars(line)) for line in caplog.records)
    assert "RuntimeError" in logged
    assert "besa" not in logged


def test_a_hung_probe_is_failed_at_the_deadline() -> None:
    """The others' answers are not lost with it."""
    hanging = HangingQuery()
    began = read_monotonic()
    outcomes = ParallelQueries().run([hanging.probe, HealthQuery("quick", lambda: 1)], within_s=0.2)
    assert read_monotonic() - began < AT_ONCE_S / 2
    assert outcomes["hanging"].failed
    assert outcomes["hanging"].latency_s >= 0.2
    assert (outcomes["quick"].failed, outcomes["quick"].value) == (False, 1)
    hanging.release.set()


def test_a_probe_that_hangs_for_good_has_one_thread_however_often_it_is_asked() -> None:
    """Its late answer is dropped: after it has ended, the next query asks anew."""
    hanging, prober = HangingQuery(), ParallelQueries()
    outcomes = [prober.run([hanging.probe], within_s=0.05)["hanging"] for _ in range(5)]
    assert [outcome.failed for outcome in outcomes] == [True] * 5
    assert hanging.begun == 1
    hanging.release.set()
    assert hanging.ended.wait(AT_ONCE_S)
    assert wait_for(lambda: prober.run([hanging.probe], within_s=AT_ONCE_S)["hanging"].value) == "late"
    assert hanging.begun == 2


def wait_for(look: Callable[[], Any]) -> Any:
    """Return the first thing seen that is not None: a thread that was let go has yet to end."""
    until = read_monotonic() + AT_ONCE_S
    pause = Event()
    while (seen := look()) is None and read_monotonic() < until:
        pause.wait(0.01)
    return seen
