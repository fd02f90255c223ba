"""Token buckets: one for each method of each resource."""

from collections.abc import Callable

from local.stack import DeployedRoute, Stack

Clock = Callable[[], float]


class TokenBucket:
    """A bucket of up to `burst` tokens that gains `rate` tokens a second."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._seen = clock()

    def has_token(self) -> bool:
        """Return whether a call may pass now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        return self._tokens >= 1

    def take_token(self) -> None:
        """Spend the token of a call that passes."""
        self._tokens -= 1


class Throttle:
    """The decision whether a call of a route may pass; each method has its own bucket.

    A method without settings of its own gets a bucket with the stage's (API Gateway, "How throttling limit settings are
    applied": stage limits are applied at the method level).
    """

    def __init__(self, stack: Stack, clock: Clock) -> None:
        stage = stack.stage_rate, stack.stage_burst
        self._methods = {
            _make_key(route): _make_bucket(*(stage if route.rate is None else (route.rate, route.burst)), clock)
            for route in stack.routes
        }

    def admit(self, route: DeployedRoute) -> bool:
        """Return whether the call may pass, and count it if so."""
        bucket = self._methods[_make_key(route)]
        if bucket is None:
            return True
        if not bucket.has_token():
            return False
        bucket.take_token()
        return True


def _make_key(route: DeployedRoute) -> tuple[str, str]:
    return route.method, route.resource


def _make_bucket(rate: float | None, burst: int | None, clock: Clock) -> TokenBucket | None:
    return None if rate is None or burst is None else TokenBucket(rate, burst, clock)
