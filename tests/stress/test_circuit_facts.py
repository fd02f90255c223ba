"""The breaker's bars follow from the circuit's own log and from the calls that reached the service."""

import json
from pathlib import Path

import pytest

from stress.circuit_facts import (
    VIEW_S,
    CircuitPeriod,
    count_begun_after_threshold,
    count_calls_of_probes,
    count_calls_while_open,
    count_failures_before_opening,
    list_missing_generations,
    list_not_reached,
    list_periods,
    list_transitions,
)
from stress.function_log import LogEntry, LogReader
from stress.mail_proxy import MailCall

T = 1_795_766_400.0
# The circuit opens at 10 s, a probe fails at 16.2 s, the next succeeds at 22.3 s.
LOG = [
    LogEntry(T + at, message, {"circuit": "email", "generation": generation, "local": False})
    for at, message, generation in (
        (10.0, "circuit_opened", 4),
        (16.0, "circuit_half_opened", 5),
        (16.2, "circuit_opened", 6),
        (22.0, "circuit_half_opened", 7),
        (22.3, "circuit_closed", 8),
    )
]
PERIODS = list_periods(list_transitions(LOG, "email"))


def call(began: float, ended: float | None = None, failure: str = "throttled") -> MailCall:
    """Return a call that began and ended at these seconds, a tenth of a second later unless another time is given."""
    return MailCall("job", T + began, failure, sent=not failure, ended=T + (began + 0.1 if ended is None else ended))


# What a circuit that works lets pass: five failures and two under way, one call for each probe, then all.
PASSED = [*(call(9.0 + n / 10) for n in range(7)), call(16.05), call(22.1, failure=""), call(22.4, failure="")]


def test_the_log_is_read_from_where_it_ended_and_as_far_as_its_last_whole_line(tmp_path: Path) -> None:
    """Other lines are passed over; entries are in the order of their time."""
    log = tmp_path / "WorkerFunction.log"
    log.write_text('{"timestamp": "2026-11-27T07:59:59.000+00:00", "message": "before"}\n')
    reader = LogReader(log)
    with log.open("a") as lines:
        lines.write('not JSON\n{"time": "2026-11-27T08:00:00Z", "type": "platform.report"}\n')
        lines.write(json.dumps({"timestamp": "2026-11-27T08:00:00.250+00:00", "message": "second"}) + "\n")
        lines.write(json.dumps({"timestamp": "2026-11-27T08:00:00.125+00:00", "message": "first", "a": 1}) + "\n")
        lines.write('{"timestamp": "2026-11-27T08:00:01.000+00:00", "mess')
    assert [(entry.at, entry.message) for entry in reader.read()] == [(T + 0.125, "first"), (T + 0.25, "second")]
    with log.open("a") as lines:
        lines.write('age": "third"}\n')
    assert [entry.message for entry in reader.read()] == ["first", "second", "third"]
    assert reader.list_entries("first")[0].fields["a"] == 1


def test_transitions_are_the_fleets_own_of_this_circuit() -> None:
    """One that an environment made by itself counts for it alone."""
    others = [
        LogEntry(T, "circuit_opened", {"circuit": "identity", "generation": 1, "local": False}),
        LogEntry(T, "circuit_opened", {"circuit": "email", "generation": 1, "local": True}),
        LogEntry(T, "job_finished", {}),
    ]
    found = list_transitions([*others, *LOG], "email")
    assert [(made.state, made.generation) for made in found] == [
        ("open", 4), ("half_open", 5), ("open", 6), ("half_open", 7), ("closed", 8)
    ]  # fmt: skip
    assert list_missing_generations(found) == []
    assert list_missing_generations([found[0], found[3], found[4]]) == [5, 6]
    assert PERIODS[0] == CircuitPeriod("open", T + 10.0, T + 16.0)
    assert PERIODS[-1].until == float("inf")
    assert list_periods([]) == []


def test_a_circuit_that_works_keeps_every_bar() -> None:
    """A call that is under way when it opens is no call of an open circuit."""
    assert count_failures_before_opening(PASSED, T + 10.0) == 7
    assert count_begun_after_threshold(PASSED, 5, T + 16.0) == 1
    assert count_calls_while_open(PASSED, PERIODS) == 0
    assert count_calls_of_probes(PASSED, [], PERIODS) == [1, 1]


def test_an_opening_after_too_few_failures_is_seen() -> None:
    """Calls that had not ended had not failed."""
    assert count_failures_before_opening([call(9.0), call(9.5, 10.2), call(9.5, failure="")], T + 10.0) == 1


def test_a_late_opening_is_seen() -> None:
    """Each call that begins after the fifth failure counts, until the first probe."""
    calls = [call(9.0 + n / 10) for n in range(30)]
    assert count_begun_after_threshold(calls, 5, T + 16.0) == 24
    assert count_begun_after_threshold(calls[:4], 5, T + 16.0) == 0


@pytest.mark.parametrize(
    ("began", "count"), [(10.0 + VIEW_S - 0.1, 0), (10.0 + VIEW_S + 0.1, 1), (15.9, 1), (16.21, 1), (21.9, 1)]
)
def test_a_call_of_an_open_circuit_is_seen(began: float, count: int) -> None:
    """Just after the first opening an environment may have a view from before it; after a failed probe none has."""
    assert count_calls_while_open([*PASSED, call(began)], PERIODS) == count


def test_a_circuit_that_never_opened_explains_no_call_beyond_its_threshold() -> None:
    """Its log has neither an opening nor a probe: the bar on failed calls is then the threshold and the workers."""
    calls = [call(9.0 + n / 10) for n in range(30)]
    assert count_calls_while_open(calls, []) == 0
    assert count_calls_of_probes(calls, [T + 9.5], []) == []
    assert count_begun_after_threshold(calls, 5, float("inf")) == 24


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ([call(16.06)], [2, 1]),
        ([call(22.15, failure="")], [1, 2]),
        ([call(22.25, failure="")], [1, 1]),
    ],
)
def test_a_probe_of_two_calls_is_seen(more: list[MailCall], counts: list[int]) -> None:
    """After a probe that succeeded others may call before its environment has logged that the circuit is closed."""
    assert count_calls_of_probes([*PASSED, *more], [], PERIODS) == counts


def test_a_probe_without_a_call_is_seen_unless_it_found_no_port() -> None:
    """Such a call leaves its trace with the worker alone, which logs the job's end after the circuit's opening."""
    calls = [each for each in PASSED if each.began != T + 16.05]
    assert count_calls_of_probes(calls, [], PERIODS) == [0, 1]
    ends = [
        LogEntry(T + 16.3, "job_finished", {"error": "EndpointConnectionError"}),
        LogEntry(T + 16.4, "job_finished", {"error": "circuit-open"}),
    ]
    assert list_not_reached(ends) == [T + 16.3]
    assert count_calls_of_probes(calls, [T + 9.0, *list_not_reached(ends)], PERIODS) == [1, 1]
