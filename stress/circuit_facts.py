"""The facts that a circuit's own log states, beside the calls that reached the service behind it.

Nothing here is told by the traffic: an opening, a probe and a closing are events that the circuit has logged. Times are
epoch seconds of one machine's clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stress.function_log import LogEntry
from stress.mail_proxy import MailCall

STATES = {"circuit_opened": "open", "circuit_half_opened": "half_open", "circuit_closed": "closed"}
# The oldest view by which an environment may still begin a call when others have opened the circuit: `refresh_s`.
VIEW_S = 1.0
# The worker's own word for a call that found no port; such a call leaves nothing at the service.
NOT_REACHED = "EndpointConnectionError"


@dataclass(frozen=True)
class CircuitTransition:
    """A transition that the environment which made it has logged."""

    state: str
    generation: int
    at: float


@dataclass(frozen=True)
class CircuitPeriod:
    """A time in which the circuit had one state; `until` is infinite for the last."""

    state: str
    began: float
    until: float


def list_transitions(entries: Iterable[LogEntry], circuit: str) -> list[CircuitTransition]:
    """Return the fleet's transitions of a circuit, in order; those of one environment by itself are left out."""
    return [
        CircuitTransition(STATES[entry.message], int(entry.fields["generation"]), entry.at)
        for entry in entries
        if entry.message in STATES and entry.fields.get("circuit") == circuit and not entry.fields.get("local")
    ]


def list_periods(transitions: Sequence[CircuitTransition]) -> list[CircuitPeriod]:
    """Return the periods between transitions."""
    ends = [CircuitTransition("", 0, float("inf"))]
    return [CircuitPeriod(one.state, one.at, after.at) for one, after in pairwise([*transitions, *ends])]


def list_missing_generations(transitions: Sequence[CircuitTransition]) -> list[int]:
    """Return the generations between the first and the last that no environment has logged."""
    found = {transition.generation for transition in transitions}
    return [number for number in range(min(found, default=0), max(found, default=-1) + 1) if number not in found]


def count_failures_before_opening(calls: Iterable[MailCall], opened_at: float) -> int:
    """Return how many calls had failed when the circuit opened."""
    return sum(bool(call.failure) and _has_ended(call, opened_at) for call in calls)


def count_begun_after_threshold(calls: Sequence[MailCall], threshold: int, until: float) -> int:
    """Return how many calls began after as many had failed as open the circuit, and before `until`, its probe."""
    ends = sorted(call.ended for call in calls if call.failure and call.ended is not None)
    if len(ends) < threshold:
        return 0
    return sum(ends[threshold - 1] < call.began < until for call in calls)


def count_calls_while_open(calls: Iterable[MailCall], periods: Sequence[CircuitPeriod]) -> int:
    """Return how many calls began while the circuit was open.

    After the first opening a call may begin by a view from before it; after a failed probe nobody has such a view. Of
    a circuit that never opened there are none, however many it should have kept back.
    """
    open_ = [period for period in periods if period.state == "open"]
    begins = [period.began + (0.0 if n else VIEW_S) for n, period in enumerate(open_)]
    return sum(
        any(began < call.began < period.until for began, period in zip(begins, open_, strict=True)) for call in calls
    )


def count_calls_of_probes(
    calls: Sequence[MailCall], not_reached: Iterable[float], periods: Sequence[CircuitPeriod]
) -> list[int]:
    """Return for each half-open period how many calls began in it, whatever became of them.

    `not_reached` are the times at which workers logged that a call had found no port. When the probe has succeeded
    others may call before the closing is logged: so a period ends with its first call that did not fail.
    """
    probed = [period for period in periods if period.state == "half_open"]
    counts = [sum(period.began <= call.began < _find_end(period, calls) for call in calls) for period in probed]
    for at in not_reached:
        before = [n for n, period in enumerate(probed) if period.began <= at]
        if before:
            counts[before[-1]] += 1
    return counts


def list_not_reached(entries: Iterable[LogEntry]) -> list[float]:
    """Return when workers logged that a job's call had found no port."""
    return [
        entry.at for entry in entries if entry.message == "job_finished" and entry.fields.get("error") == NOT_REACHED
    ]


def _find_end(period: CircuitPeriod, calls: Iterable[MailCall]) -> float:
    good = [call.ended for call in calls if not call.failure and call.began >= period.began and call.ended is not None]
    return min([period.until, *good])


def _has_ended(call: MailCall, at: float) -> bool:
    return call.ended is not None and call.ended <= at
