"""The gateway's Invoke API, seen from here."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MARGIN_S = 40.0  # over the function's own timeout: a cold start, and waiting for a place


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """The outcome of an invocation: Lambda's status, the payload, and X-Amz-Function-Error."""

    status: int
    payload: bytes
    error: str | None

    @property
    def is_throttled(self) -> bool:
        """Whether the function runs at its reserved concurrency."""
        return self.status == http.HTTPStatus.TOO_MANY_REQUESTS

    @property
    def has_succeeded(self) -> bool:
        """Whether the function ran and returned."""
        return self.status < http.HTTPStatus.BAD_REQUEST and self.error is None


class FunctionInvoker:
    """Invokes functions of the gateway at `base`."""

    def __init__(self, base: str, timeouts: dict[str, int]) -> None:
        self._address = urlsplit(base).netloc
        self._timeouts = timeouts

    def __call__(self, function: str, payload: Any, *, kind: str = "RequestResponse") -> InvocationResult:
        """One invocation. Raises OSError if the gateway is out of reach."""
        timeout_s = self._timeouts[function] + MARGIN_S
        connection = http.client.HTTPConnection(self._address, timeout=timeout_s)
        path = f"/2015-03-31/functions/{function}/invocations"
        try:
            connection.request("POST", path, json.dumps(payload), {"X-Amz-Invocation-Type": kind})
            response = connection.getresponse()
            return InvocationResult(response.status, response.read(), response.getheader("X-Amz-Function-Error"))
        except http.client.HTTPException as error:
            raise OSError(f"the gateway did not answer: {error!r}") from error
        finally:
            connection.close()
