"""A client of the gateway's Invoke API."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MARGIN_S = 40.0  # added to the function's own timeout, for a cold start and for waiting


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """The result of an invocation: Lambda's status, the payload, and X-Amz-Function-Error."""

    status: int
    payload: bytes
    error: str | None

    @property
    def is_throttled(self) -> bool:
        """Return whether the function is at its reserved concurrency."""
        return self.status == http.HTTPStatus.TOO_MANY_REQUESTS

    @property
    def has_succeeded(self) -> bool:
        """Return whether the function ran and returned."""
        return self.status < http.HTTPStatus.BAD_REQUEST and self.error is None


class FunctionInvoker:
    """The invoker of functions through the gateway at `base`."""

    def __init__(self, base: str, timeouts: dict[str, int]) -> None:
        self._address = urlsplit(base).netloc
        self._timeouts = timeouts

    def __call__(
        self, function: str, payload: Any, *, kind: str = "RequestResponse", trace_id: str = ""
    ) -> InvocationResult:
        """Invoke a function, in the chain of a trace header, and return the result.

        Raise OSError if the gateway is unreachable.
        """
        timeout_s = self._timeouts[function] + MARGIN_S
        connection = http.client.HTTPConnection(self._address, timeout=timeout_s)
        path = f"/2015-03-31/functions/{function}/invocations"
        try:
            headers = {"X-Amz-Invocation-Type": kind, **({"X-Amzn-Trace-Id": trace_id} if trace_id else {})}
            connection.request("POST", path, json.dumps(payload), headers)
            response = connection.getresponse()
            return InvocationResult(response.status, response.read(), response.getheader("X-Amz-Function-Error"))
        except http.client.HTTPException as error:
            raise OSError(f"the gateway did not answer: {error!r}") from error
        finally:
            connection.close()
