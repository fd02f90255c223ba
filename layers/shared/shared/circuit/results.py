"""The outcomes of an environment's calls that the shared store does not know yet."""

from collections import deque
from collections.abc import Collection

from shared.circuit.state import LeakyBucket, Outcome

# More than this changes no bucket of the default policy; it bounds what an environment keeps while the table is gone.
MOST_OUTCOMES = 256


class Results:
    """Outcomes in the order in which they ended; not thread-safe by itself. Counting is on every call's way."""

    def __init__(self) -> None:
        self._outcomes: deque[Outcome] = deque(maxlen=MOST_OUTCOMES)
        self._last_failure = 0

    def count(self, began: int, ended: int, *, failed: bool) -> None:
        """Count one call. A success is later than every failure that is known by now, whatever the clocks say."""
        if failed:
            self._last_failure = max(self._last_failure, ended)
        elif ended <= self._last_failure:
            ended = self._last_failure + 1
        self._outcomes.append(Outcome(began, ended, failed))

    def untold(self) -> tuple[Outcome, ...]:
        """Return what is counted."""
        return tuple(self._outcomes)

    def learn(self, bucket: LeakyBucket) -> None:
        """Know these failures: successes from now on are later."""
        if bucket.failures:
            self._last_failure = max(self._last_failure, bucket.failures[-1])

    def forget(self, told: Collection[Outcome]) -> None:
        """Take away what was told; calls may have ended since."""
        gone = set(map(id, told))
        self._outcomes = deque((each for each in self._outcomes if id(each) not in gone), MOST_OUTCOMES)

    def forget_until(self, moment: int) -> None:
        """Take away what ended until then."""
        while self._outcomes and self._outcomes[0].ended <= moment:
            self._outcomes.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._outcomes.clear()
