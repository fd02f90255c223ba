"""An httpx transport that makes each call take effect once, however often its answer is lost."""

import random
import time
import uuid
from collections.abc import Callable

import httpx

from interdomestik_client.retries import RetryPolicy, is_repeated
from interdomestik_client.versions import SeenVersions

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class RetryingTransport(httpx.BaseTransport):
    """The transport below a client: it gives every write an Idempotency-Key and repeats calls with the same one.

    A call is repeated if its answer was lost, or if the service asks for it (429, 503, a first request that still
    runs), after `Retry-After`. A change that needs If-Match gets the ETag of the version that was last seen. What the
    caller sets is left as it is: an Idempotency-Key of their own lets a call be repeated by another process too.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport | None = None,
        *,
        base_path: str = "/api",
        policy: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the transport that sends, and the path below which the API is."""
        self._inner = inner or httpx.HTTPTransport()
        self._base_path = base_path.rstrip("/")
        self._policy = policy or RetryPolicy()
        self._clock = clock
        self._sleep = sleep
        self._versions = SeenVersions()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request until it has an answer that stays; return it. Raise httpx.TransportError without one."""
        request.read()
        self._add_headers(request)
        response = self._send(request, self._clock() + self._policy.patience_s)
        self._learn_version(request, response)
        return response

    def close(self) -> None:
        """Close the transport that sends."""
        self._inner.close()

    def _add_headers(self, request: httpx.Request) -> None:
        if request.method in _WRITES:
            request.headers.setdefault("Idempotency-Key", str(uuid.uuid4()))
        tag = self._versions.find(request.method, self._find_path(request.url.path))
        if tag is not None:
            request.headers.setdefault("If-Match", tag)

    def _send(self, request: httpx.Request, deadline: float) -> httpx.Response:
        attempt = 0
        while True:
            try:
                response = self._inner.handle_request(request)
                response.read()  # an answer that is cut in the middle is lost as well
            except httpx.TransportError:
                if not self._pause(attempt, None, deadline):
                    raise
            else:
                if not is_repeated(response.status_code, response.content, attempt):
                    return response
                if not self._pause(attempt, response.headers.get("Retry-After"), deadline):
                    return response
                response.close()
            attempt += 1

    def _pause(self, attempt: int, retry_after: str | None, deadline: float) -> bool:
        """Wait for the next attempt; return False without waiting if there is no time for one."""
        pause = self._policy.choose_pause(attempt, retry_after, random.random)
        if self._clock() + pause >= deadline:
            return False
        self._sleep(pause)
        return True

    def _learn_version(self, request: httpx.Request, response: httpx.Response) -> None:
        location = response.headers.get("Location")
        self._versions.learn(
            request.method,
            self._find_path(request.url.path),
            response.headers.get("ETag") if response.is_success else None,
            self._find_path(location) if location else None,
        )

    def _find_path(self, path: str) -> str:
        return path.removeprefix(self._base_path)
