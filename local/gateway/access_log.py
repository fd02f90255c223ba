"""The gateway's access log: one line for each request, in the format of the deployed stage."""

import re
import time

from local.gateway.proxy_event import GatewayRequest
from local.runtime.logs import FunctionLog

VARIABLE = re.compile(r"\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)")
NOT_KNOWN = "-"  # as API Gateway writes it


class AccessLog:
    """Writes lines of `line_format` to `log`; no lines if the stage has no format."""

    def __init__(self, line_format: str, log: FunctionLog) -> None:
        self._format = line_format
        self._log = log

    def record(self, call: GatewayRequest, *, resource: str, status: int, size: int, refused_as: str) -> None:
        """Write the line of an answered request; `size` is in bytes, `refused_as` the gateway response's type."""
        if not self._format:
            return
        known = {
            **call.build_context(resource),
            "xrayTraceId": call.trace_id,
            "requestTimeEpoch": str(int(call.received_at * 1000)),
            "status": str(status),
            "responseLatency": str(round((time.time() - call.received_at) * 1000)),
            "responseLength": str(size),
            "error.responseType": refused_as,
        }
        line = VARIABLE.sub(lambda found: known.get(found[1]) or NOT_KNOWN, self._format)
        self._log.write(line.encode() + b"\n")
