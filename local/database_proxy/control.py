"""The control port of a proxy in its own process: its statistics and its fault switches, as JSON over HTTP.

    GET  /counts                          ProxyStatistics, server_connections, max_connections, target, crashes
    POST /counts/reset                    restart totals at 0 and maxima at the present values
    PUT  /limit       {"max_connections": 10}
    PUT  /target      {"port": 5433}      clients of the former server are disconnected, so nobody writes there any more
    PUT  /listening   {"listening": false}   refuse new connections
    PUT  /delay       {"seconds": 0.1}    both directions; 0 ends it
    PUT  /black-hole  {"on": true}        discard all data; a connection that has lost data stays silent for good
    POST /cut                             disconnect every client now: {"cut": 3}

A PUT returns what it has set. A request that can't be read gets 400 and changes nothing.
"""

import json
from collections.abc import Callable
from typing import Any

from local.database_proxy.faults import BOTH
from local.database_proxy.proxy import Proxy
from local.http_server import HttpRequest, HttpResponse, is_from_this_machine

BODY_LIMIT = 4096
JSON = ("Content-Type", "application/json")
PORTS = range(1, 65536)

Body = dict[str, Any]


class ControlPort:
    """The handler of control requests."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._actions: dict[tuple[str, str], Callable[[Body], Body]] = {
            ("GET", "/counts"): self._get_statistics,
            ("POST", "/counts/reset"): self._reset_statistics,
            ("POST", "/cut"): lambda _body: {"cut": proxy.cut_all()},
            ("PUT", "/limit"): self._set_limit,
            ("PUT", "/target"): self._set_target,
            ("PUT", "/listening"): self._set_listening,
            ("PUT", "/delay"): self._set_delay,
            ("PUT", "/black-hole"): self._set_black_hole,
        }

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request; refuse one that a web page of another site could have sent."""
        if not is_from_this_machine(request):
            return _make_json_response(403, {"message": "Only for programs on this machine"})
        action = self._actions.get((request.method, request.path))
        if action is None:
            return _make_json_response(404, {"message": "Not found"})
        try:
            result = action(json.loads(request.body or b"{}"))
        except (KeyError, TypeError, ValueError) as error:
            return _make_json_response(400, {"message": f"Not to be read: {error!r}"})
        return _make_json_response(200, result)

    def _get_statistics(self, _body: Body) -> Body:
        proxy = self._proxy
        more = {"max_connections": proxy.max_connections, "target": proxy.target, "crashes": proxy.crashes}
        return {**proxy.read_statistics(), **more}

    def _reset_statistics(self, body: Body) -> Body:
        self._proxy.reset_counts()
        return self._get_statistics(body)

    def _set_limit(self, body: Body) -> Body:
        number = _parse_integer(body["max_connections"])
        if number < 1:
            raise ValueError(number)
        self._proxy.max_connections = number
        return {"max_connections": number}

    def _set_target(self, body: Body) -> Body:
        port = _parse_integer(body["port"])
        if port not in PORTS:
            raise ValueError(port)
        self._proxy.target = port
        return {"port": port}

    def _set_listening(self, body: Body) -> Body:
        self._proxy.is_listening = wanted = _parse_boolean(body["listening"])
        return {"listening": wanted}

    def _set_delay(self, body: Body) -> Body:
        seconds = float(body["seconds"])
        if not 0 <= seconds < float("inf"):
            raise ValueError(seconds)
        self._proxy.faults.delays = dict.fromkeys(BOTH, seconds) if seconds else {}
        return {"seconds": seconds}

    def _set_black_hole(self, body: Body) -> Body:
        on = _parse_boolean(body["on"])
        self._proxy.faults.holes = frozenset(BOTH if on else ())
        return {"on": on}


def _parse_integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _parse_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _make_json_response(status: int, document: object) -> HttpResponse:
    return HttpResponse(status, [JSON], json.dumps(document).encode())
