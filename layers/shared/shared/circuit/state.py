"""A dependency's circuit as one value: when calls may pass, when it opens, and what it becomes.

closed -> open -> half_open -> closed, or open again. Each move makes a new generation; whoever writes on
account of an older one finds that out and changes nothing. All times are integer microseconds since the epoch.
Source: M. Nygard, "Release It!", 2007; M. Fowler, "CircuitBreaker", 2014.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from shared.units import SECOND

State = Literal["closed", "open", "half_open"]
Command = Literal["open", "closed", "auto"]

# A circuit's item keeps the time of each failure that counts, 100 of 20 bytes at most. A threshold above that is never
# reached: the circuit is out of use.
MOST_FAILURES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """The thresholds and times of a circuit; times in seconds.

    A call fails by its error, or by taking `slow_s` or longer. The circuit opens when `failures` of them count at once.
    """

    name: str
    # Enough to tell an outage from a call that met a restarting server, and few enough to stop before users do.
    failures: int = 5
    # So many successes after a failure make it count no more. Two: from one failing call in three on, failures come
    # faster than they are forgotten, and the circuit opens; at one in fifty it does not in 10,000 calls
    # (docs/decisions/0016). Successes before a failure never count: a good minute is no credit.
    successes_per_failure: int = 2
    slow_s: float = 5.0
    # A failure is forgotten after this time, whatever came after it: without traffic, five in an hour are no outage.
    window_s: float = 600.0
    open_s: float = 30.0
    # Outlasts the longest call, so that no probe is taken over while it is still under way.
    probe_lease_s: float = 30.0
    # How old may be what an environment knows of a circuit in which all is well: it asks no more often than that.
    refresh_s: float = 1.0
    # While the table is gone, an open circuit is believed this much beyond its time; then each environment probes
    # by itself.
    blind_s: float = 60.0


class CallOutcome(NamedTuple):
    """A call's beginning and end, and whether it failed."""

    began: int
    ended: int
    failed: bool


@dataclass(frozen=True, slots=True)
class FailureBucket:
    """The failures that count, as the times at which those calls ended, oldest first.

    `leaked` successes have been counted against the oldest. Source: R. Hanmer, "Patterns for Fault Tolerant Software",
    2007, "Leaky Bucket Counter".
    """

    failures: tuple[int, ...] = ()
    leaked: int = 0

    def drop_old_failures(self, policy: CircuitPolicy, now: int) -> "FailureBucket":
        """Return the bucket without the failures that are too old to count."""
        oldest = now - convert_to_micros(policy.window_s)
        if not self.failures or self.failures[0] > oldest:
            return self
        return FailureBucket(tuple(ended for ended in self.failures if ended > oldest))

    def add(self, ended: int) -> "FailureBucket":
        """Return the bucket with one failure more."""
        return FailureBucket(tuple(sorted((*self.failures, ended)))[-MOST_FAILURES:], self.leaked)

    def count_success(self, policy: CircuitPolicy, before: int) -> "FailureBucket":
        """Return the bucket after one success, which counts only against failures that ended `before`."""
        if not self.failures or self.failures[0] >= before:
            return self
        if self.leaked + 1 < policy.successes_per_failure:
            return FailureBucket(self.failures, self.leaked + 1)
        return FailureBucket(self.failures[1:])

    def add_outcomes(self, policy: CircuitPolicy, outcomes: Iterable[CallOutcome]) -> "FailureBucket":
        """Return the bucket after one environment's calls, in the order in which they ended.

        A success counts against the failures that ended before it. Where it came before all of them, it is not known
        whether its fleet was well by then: up to `successes_per_failure` of those then weigh against failures that
        had ended when this environment's next failing call began. So a failure never lowers the level, and one
        environment's first failure after a good stretch adds nothing to those of others.
        """
        bucket, spare = self, 0
        for outcome in outcomes:
            if outcome.failed:
                for _ in range(min(spare, policy.successes_per_failure)):
                    bucket = bucket.count_success(policy, outcome.began)
                bucket, spare = bucket.add(outcome.ended), 0
            else:
                left = bucket.count_success(policy, outcome.ended)
                spare += left is bucket
                bucket = left
        return bucket

    def is_full(self, policy: CircuitPolicy) -> bool:
        """Whether so many failures count that the circuit opens."""
        level = len(self.failures) * policy.successes_per_failure - self.leaked
        return level >= policy.failures * policy.successes_per_failure


EMPTY = FailureBucket()


@dataclass(frozen=True, slots=True)
class CircuitSnapshot:
    """A circuit at one moment. `since` is None where it was always closed; `forced` by operators, it moves no more.

    `revision` counts the changes of the bucket within a generation.
    `open_until` is when a probe is due; while it is half open, `holder` has the one probe until `lease_until`.
    """

    state: State = "closed"
    generation: int = 0
    since: int | None = None
    open_until: int = 0
    holder: str | None = None
    lease_until: int = 0
    bucket: FailureBucket = EMPTY
    revision: int = 0
    forced: bool = False

    @property
    def probe_due(self) -> int | None:
        """Return when the next probe may be made; None where calls pass, or where operators hold it open."""
        if self.state == "closed" or self.forced:
            return None
        return self.open_until if self.state == "open" else self.lease_until


NEW = CircuitSnapshot()


def convert_to_micros(seconds: float) -> int:
    """Microseconds of so many seconds."""
    return round(seconds * SECOND)


def is_due_to_open(policy: CircuitPolicy, bucket: FailureBucket, now: int) -> bool:
    """Return whether a closed circuit with these failures is to be opened."""
    return bucket.drop_old_failures(policy, now).is_full(policy)


def is_suspect(policy: CircuitPolicy, bucket: FailureBucket, now: int) -> bool:
    """Return whether a closed circuit may be about to open: any failure counts.

    It may have opened since; so while it is suspect nobody calls without having asked.
    """
    return bool(bucket.drop_old_failures(policy, now).failures)


def replace_bucket(seen: CircuitSnapshot, bucket: FailureBucket) -> CircuitSnapshot:
    """Return the closed circuit with another bucket: the next revision of the same generation."""
    return replace(seen, bucket=bucket, revision=seen.revision + 1)


def open_circuit(seen: CircuitSnapshot, policy: CircuitPolicy, now: int) -> CircuitSnapshot:
    """Open, for the full time: from closed, or from half open where the probe failed."""
    return CircuitSnapshot("open", seen.generation + 1, now, open_until=now + convert_to_micros(policy.open_s))


def half_open_circuit(seen: CircuitSnapshot, policy: CircuitPolicy, now: int, holder: str) -> CircuitSnapshot:
    """Half open, the probe leased to `holder`: from open, or from half open where another's lease has run out."""
    lease_until = now + convert_to_micros(policy.probe_lease_s)
    return CircuitSnapshot("half_open", seen.generation + 1, now, holder=holder, lease_until=lease_until)


def close_circuit(seen: CircuitSnapshot, now: int) -> CircuitSnapshot:
    """Closed, with nothing counted: the probe succeeded."""
    return CircuitSnapshot("closed", seen.generation + 1, now)


def apply_command(seen: CircuitSnapshot, command: Command, policy: CircuitPolicy, now: int) -> CircuitSnapshot:
    """As operators command: held open or closed, or left to itself again; unchanged where it is that already.

    Left to itself, a circuit that was held open lets a probe through first.
    """
    if command == "auto":
        return replace(seen, generation=seen.generation + 1, since=now, forced=False) if seen.forced else seen
    if seen.forced and seen.state == command:
        return seen
    circuit = open_circuit(seen, policy, now) if command == "open" else close_circuit(seen, now)
    return replace(circuit, open_until=now if command == "open" else 0, forced=True)
