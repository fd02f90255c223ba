"""How an environment's calls ended, as far as the fleet has not been told."""

from shared.resilience.circuit import NOTHING, Counts, Policy, Window


class Results:
    """Counts of this half-window and the one before; not thread-safe by itself. Counting is on every call's way."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._slot = 0
        self._previous = NOTHING
        self._calls = self._failures = self._slow = 0

    def count(self, now: int, *, failed: bool, slow: bool) -> None:
        """Count one call that ended now."""
        slot = self._policy.slot(now)
        if slot != self._slot:
            self._become(self.window(now))
        self._calls += 1
        if failed:
            self._failures += 1
        if slow:
            self._slow += 1

    def window(self, now: int) -> Window:
        """What is counted, as of now."""
        return self._counted().at(self._policy.slot(now))

    def forget(self, told: Window) -> None:
        """Take away what was told; calls may have ended since."""
        left = self._counted().at(told.slot)
        gone = told.at(left.slot)
        self._become(Window(left.slot, left.current - gone.current, left.previous - gone.previous))

    def clear(self) -> None:
        """Forget all."""
        self._become(Window(self._slot))

    def _counted(self) -> Window:
        return Window(self._slot, Counts(self._calls, self._failures, self._slow), self._previous)

    def _become(self, window: Window) -> None:
        self._slot, self._previous = window.slot, window.previous
        self._calls, self._failures, self._slow = window.current.calls, window.current.failures, window.current.slow
