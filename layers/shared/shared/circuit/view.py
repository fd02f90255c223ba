"""A circuit as one execution environment knows it, and what follows while the store is out of reach.

Not thread-safe by itself. It stands still between what is learned: every look at it says what the time is.
"""

from shared.circuit.results import Results
from shared.circuit.state import (
    NEW,
    LeakyBucket,
    Policy,
    Snapshot,
    closed,
    counted,
    half_opened,
    is_suspect,
    micros,
    opened,
)

ALONE = "this environment"


class Knowledge:
    """The fleet's circuit as last `seen`, or this environment's own while it goes `alone`."""

    def __init__(self, policy: Policy, born: int) -> None:
        self.policy = policy
        self.results = Results()
        self.seen = NEW
        self.as_of: int | None = None
        self.alone: Snapshot | None = None
        self.token: str | None = None
        self._born = born
        self._refresh = micros(policy.refresh_s)
        self._lost_at: int | None = None

    @property
    def standing(self) -> Snapshot:
        """The circuit that counts here."""
        return self.alone or self.seen

    def learn(self, seen: Snapshot, as_of: int) -> None:
        """The fleet's circuit was this when the store was asked."""
        known, same = self.as_of is not None, seen.generation == self.seen.generation
        # Results from before anything was known count where the circuit was closed all the while.
        if not (same if known else seen.state == "closed" and (seen.since or 0) <= self._born):
            self.results.clear()
        self.seen, self.as_of, self.alone, self._lost_at = seen, as_of, None, None
        self.results.learn(seen.bucket)
        if is_suspect(self.policy, seen.bucket, as_of) and self.to_tell(as_of) is None:
            # Who calls although failures are known has no earlier success to set against them.
            self.results.forget_until(as_of)

    def lose(self, now: int) -> None:
        """The store did not answer."""
        if self._lost_at is None:
            self._lost_at = now

    def is_fresh(self, now: int) -> bool:
        """Whether it is young enough to act on without asking."""
        if self.as_of is None or self.alone is not None or not 0 <= now - self.as_of < self._refresh:
            return False
        seen = self.seen
        return seen.state != "closed" or seen.forced or not is_suspect(self.policy, seen.bucket, now)

    def is_blind(self, now: int) -> bool:
        """Whether there is nothing to act on but this."""
        return not self.is_fresh(now) and (self.alone is not None or self._lost_at is not None)

    def has_lease(self, now: int) -> bool:
        """Whether the one probe is ours to make: also where it was granted too late for the call that asked."""
        ours = self.token is not None and self.seen.holder == self.token
        return ours and self.alone is None and now < self.seen.lease_until

    def due_in(self, now: int) -> int:
        """Microseconds until a call may be tried; 0 where the circuit is closed."""
        if self.standing.state == "closed":
            return 0
        due = self.standing.probe_due
        if due is None:
            return micros(self.policy.open_s)
        if self.alone is None and self._lost_at is not None:
            due = max(due, self._lost_at) + micros(self.policy.blind_s)
        return max(0, due - now)

    def belongs(self, generation: int | None, began: int, *, alone: bool) -> bool:
        """Whether a call was permitted under the circuit as it is now."""
        if generation is None:
            return self.standing.state == "closed" and (self.standing.since or 0) <= began
        return generation == self.standing.generation and alone == (self.alone is not None)

    def to_tell(self, now: int) -> Snapshot | None:
        """Return the circuit that the fleet is to have on account of untold results; None where they change nothing.

        A success changes nothing while no failure counts: then nothing is written.
        """
        seen = self.seen
        if seen.state != "closed" or seen.forced:
            return None
        bucket = self._bucket(seen, now)
        if bucket == seen.bucket.recent(self.policy, now):
            return None
        return opened(seen, self.policy, now) if bucket.is_full(self.policy) else counted(seen, bucket)

    def should_open(self, now: int) -> bool:
        """Whether the closed circuit that counts here has seen enough."""
        standing = self.standing
        if standing.state != "closed" or standing.forced:
            return False
        return self._bucket(standing, now).is_full(self.policy)

    def _bucket(self, circuit: Snapshot, now: int) -> LeakyBucket:
        return circuit.bucket.recent(self.policy, now).after(self.policy, self.results.untold())

    def probe_alone(self, now: int) -> Snapshot:
        """Half open, for this environment."""
        self.alone = half_opened(self.standing, self.policy, now, ALONE)
        return self.alone

    def open_alone(self, now: int) -> Snapshot:
        """Open, for this environment."""
        self.alone = opened(self.standing, self.policy, now)
        return self.alone

    def settle_alone(self, now: int, *, well: bool) -> Snapshot:
        """Closed or open again, for this environment: a probe has ended, and the fleet does not hear of it."""
        if not well:
            return self.open_alone(now)
        self.results.clear()
        self.alone = closed(self.standing, now)
        return self.alone
