"""The state of a dependency's circuit as one value: when calls may pass, when it opens, and its transitions.

closed -> open -> half_open -> closed, or open again. Each transition begins a new generation; a write based on an older
one has no effect. All times are integer microseconds since the epoch. Source: M. Nygard, "Release It!", 2007; M.
Fowler, "CircuitBreaker", 2014.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from shared.units import SECOND

State = Literal["closed", "open", "half_open"]
Command = Literal["open", "closed", "auto"]

# A circuit's item stores the time of each failure that counts, at most 100 of 20 bytes. A higher threshold is never
# reached, which disables the circuit.
MOST_FAILURES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """The thresholds and times of a circuit; times in seconds.

    A call fails by its error, or by taking `slow_s` or longer. The circuit opens once `failures` of them count.
    """

    name: str
    # Enough to distinguish an outage from a call that met a restarting server, and few enough to stop before users give
    # up.
    failures: int = 5
    # This many successes after a failure cancel it. With two, failures add up if one call in three or more fails, and
    # the circuit opens; if one call in fifty fails, it did not open in 10,000 calls (docs/decisions/0016). Successes
    # before a failure never count: a good minute is no credit.
    successes_per_failure: int = 2
    slow_s: float = 5.0
    # A failure expires after this time, whatever follows it: without traffic, five in an hour are no outage.
    window_s: float = 600.0
    open_s: float = 30.0
    # Outlasts the longest call, so that no probe is taken over while its call runs.
    probe_lease_s: float = 30.0
    # The greatest age of an environment's view of a circuit without failures: it reads no more often than that.
    refresh_s: float = 1.0
    # While the table is unavailable, an open circuit stays open this much longer; then each environment probes alone.
    blind_s: float = 60.0


class CallOutcome(NamedTuple):
    """A call's beginning and end, and whether it failed."""

    began: int
    ended: int
    failed: bool


@dataclass(frozen=True, slots=True)
class FailureBucket:
    """The failures that count, as the times at which those calls ended, oldest first.

    `leaked` successes have been counted against the oldest failure. Source: R. Hanmer, "Patterns for Fault Tolerant
    Software", 2007, "Leaky Bucket Counter".
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
        """Return the bucket with one more failure."""
        return FailureBucket(tuple(sorted((*self.failures, ended)))[-MOST_FAILURES:], self.leaked)

    def count_success(self, policy: CircuitPolicy, before: int) -> "FailureBucket":
        """Return the bucket after one success, which counts only against failures that ended before `before`."""
        if not self.failures or self.failures[0] >= before:
            return self
        if self.leaked + 1 < policy.successes_per_failure:
            return FailureBucket(self.failures, self.leaked + 1)
        return FailureBucket(self.failures[1:])

    def add_outcomes(self, policy: CircuitPolicy, outcomes: Iterable[CallOutcome]) -> "FailureBucket":
        """Return the bucket after one environment's calls, in the order in which they ended.

        A success counts against the failures that ended before it. If it ended before all of them, it is unknown
        whether the dependency worked for the other environments by then: up to `successes_per_failure` of such
        successes count against failures that had ended when this environment's next failing call began. So a failure
        never lowers the level, and an environment's first failure after many successes adds nothing to the failures of
        others.
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
        """Return whether enough failures count to open the circuit."""
        level = len(self.failures) * policy.successes_per_failure - self.leaked
        return level >= policy.failures * policy.successes_per_failure


EMPTY = FailureBucket()


@dataclass(frozen=True, slots=True)
class CircuitSnapshot:
    """A circuit at one moment.

    `since` is None if it was always closed; `forced` means that operators hold it in this state.

    `revision` counts the changes of the bucket within a generation. `open_until` is when a probe is due; while the
    circuit is half open, `holder` has the lease of the one probe until `lease_until`.
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
        """Return when the next probe may be made; None if calls pass, or if operators hold the circuit open."""
        if self.state == "closed" or self.forced:
            return None
        return self.open_until if self.state == "open" else self.lease_until


NEW = CircuitSnapshot()


def convert_to_micros(seconds: float) -> int:
    """Return seconds as microseconds."""
    return round(seconds * SECOND)


def is_due_to_open(policy: CircuitPolicy, bucket: FailureBucket, now: int) -> bool:
    """Return whether a closed circuit with these failures has to be opened."""
    return bucket.drop_old_failures(policy, now).is_full(policy)


def is_suspect(policy: CircuitPolicy, bucket: FailureBucket, now: int) -> bool:
    """Return whether a closed circuit may be about to open, because at least one failure counts.

    It may have opened since it was read, so every call of a suspect circuit reads it first.
    """
    return bool(bucket.drop_old_failures(policy, now).failures)


def replace_bucket(seen: CircuitSnapshot, bucket: FailureBucket) -> CircuitSnapshot:
    """Return the closed circuit with another bucket: the next revision of the same generation."""
    return replace(seen, bucket=bucket, revision=seen.revision + 1)


def open_circuit(seen: CircuitSnapshot, policy: CircuitPolicy, now: int) -> CircuitSnapshot:
    """Return the circuit open for the full time: from closed, or from half open after a failed probe."""
    return CircuitSnapshot("open", seen.generation + 1, now, open_until=now + convert_to_micros(policy.open_s))


def half_open_circuit(seen: CircuitSnapshot, policy: CircuitPolicy, now: int, holder: str) -> CircuitSnapshot:
    """Return the circuit half open, with the probe leased to `holder`: from open, or after another's lease expired."""
    lease_until = now + convert_to_micros(policy.probe_lease_s)
    return CircuitSnapshot("half_open", seen.generation + 1, now, holder=holder, lease_until=lease_until)


def close_circuit(seen: CircuitSnapshot, now: int) -> CircuitSnapshot:
    """Return the circuit closed and without failures, after a successful probe."""
    return CircuitSnapshot("closed", seen.generation + 1, now)


def apply_command(seen: CircuitSnapshot, command: Command, policy: CircuitPolicy, now: int) -> CircuitSnapshot:
    """Return the circuit after an operators' command: held open, held closed, or automatic again (or unchanged).

    A circuit that was held open permits a probe first when it becomes automatic.
    """
    if command == "auto":
        return replace(seen, generation=seen.generation + 1, since=now, forced=False) if seen.forced else seen
    if seen.forced and seen.state == command:
        return seen
    circuit = open_circuit(seen, policy, now) if command == "open" else close_circuit(seen, now)
    return replace(circuit, open_until=now if command == "open" else 0, forced=True)
