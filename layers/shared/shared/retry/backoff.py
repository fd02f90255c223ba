"""The wait before a retry: exponential with full jitter.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """At most `retries` retries; the n-th (from 0) waits uniform(0, min(cap, base * factor^n)) seconds."""

    retries: int = 3
    base_s: float = 0.1
    factor: float = 2.0
    cap_s: float = 5.0

    def compute_delay(self, attempt: int, uniform: Callable[[float, float], float]) -> float:
        """Return the seconds to wait before the retry with number `attempt`, counted from 0."""
        return uniform(0.0, min(self.cap_s, self.base_s * self.factor**attempt))
