"""The control port of a proxy that has a process of its own: its figures and its levers, as JSON over HTTP.

    GET  /counts                          figures: Counts, server_connections, max_connections, target, crashes
    POST /counts/reset                    totals from 0, maxima from now
    PUT  /limit       {"max_connections": 10}
    PUT  /target      {"port": 5433}      who is on the former server is cut off, so nobody writes there any more
    PUT  /listening   {"listening": false}   who connects is refused
    PUT  /delay       {"seconds": 0.1}    both directions; 0 ends it
    PUT  /black-hole  {"on": true}        what is sent is lost; a line that has lost something stays silent for good
    POST /cut                             every client's line, now: {"cut": 3}

A PUT answers with what it has set. What can't be read is 400 and changes nothing.
"""

import json
from collections.abc import Callable
from typing import Any

from local.database_proxy.faults import BOTH
from local.database_proxy.handle import Proxy
from local.wire import Request, Response, is_from_here

BODY_LIMIT = 4096
JSON = ("Content-Type", "application/json")
PORTS = range(1, 65536)

Body = dict[str, Any]


class Control:
    """Answers requests."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._acts: dict[tuple[str, str], Callable[[Body], Body]] = {
            ("GET", "/counts"): self._counts,
            ("POST", "/counts/reset"): self._reset,
            ("POST", "/cut"): lambda _body: {"cut": proxy.cut_all()},
            ("PUT", "/limit"): self._limit,
            ("PUT", "/target"): self._target,
            ("PUT", "/listening"): self._listening,
            ("PUT", "/delay"): self._delay,
            ("PUT", "/black-hole"): self._black_hole,
        }

    async def handle(self, request: Request) -> Response:
        """The answer to a request; one that a web page of elsewhere could have sent is refused."""
        if not is_from_here(request):
            return _json(403, {"message": "Only for programs on this machine"})
        act = self._acts.get((request.method, request.path))
        if act is None:
            return _json(404, {"message": "Not found"})
        try:
            told = act(json.loads(request.body or b"{}"))
        except (KeyError, TypeError, ValueError) as error:
            return _json(400, {"message": f"Not to be read: {error!r}"})
        return _json(200, told)

    def _counts(self, _body: Body) -> Body:
        proxy = self._proxy
        more = {"max_connections": proxy.max_connections, "target": proxy.target, "crashes": proxy.crashes}
        return {**proxy.figures(), **more}

    def _reset(self, body: Body) -> Body:
        self._proxy.reset_counts()
        return self._counts(body)

    def _limit(self, body: Body) -> Body:
        number = _whole(body["max_connections"])
        if number < 1:
            raise ValueError(number)
        self._proxy.max_connections = number
        return {"max_connections": number}

    def _target(self, body: Body) -> Body:
        port = _whole(body["port"])
        if port not in PORTS:
            raise ValueError(port)
        self._proxy.target = port
        return {"port": port}

    def _listening(self, body: Body) -> Body:
        self._proxy.listening = wanted = _truth(body["listening"])
        return {"listening": wanted}

    def _delay(self, body: Body) -> Body:
        seconds = float(body["seconds"])
        if not 0 <= seconds < float("inf"):
            raise ValueError(seconds)
        self._proxy.faults.delays = dict.fromkeys(BOTH, seconds) if seconds else {}
        return {"seconds": seconds}

    def _black_hole(self, body: Body) -> Body:
        on = _truth(body["on"])
        self._proxy.faults.holes = frozenset(BOTH if on else ())
        return {"on": on}


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _json(status: int, document: object) -> Response:
    return Response(status, [JSON], json.dumps(document).encode())
