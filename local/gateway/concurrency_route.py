"""PutFunctionConcurrency of the Lambda API: how many invocations of a function may run at the same time."""

import json
import re
from http import HTTPStatus

from local.http_server import HttpRequest, HttpResponse
from local.runtime.versions import FunctionFleet

CONCURRENCY = re.compile(r"/2017-10-31/functions/(\w+)/concurrency")
FIELD = "ReservedConcurrentExecutions"


class ConcurrencyRoute:
    """The handler of this route."""

    def __init__(self, fleet: FunctionFleet) -> None:
        self._fleet = fleet

    def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response, None for another route."""
        found = CONCURRENCY.fullmatch(request.path)
        if found is None or request.method != "PUT":
            return None
        function = self._fleet.pools.get(found[1])
        if function is None:
            return _respond(HTTPStatus.NOT_FOUND, {"Message": f"Function not found: {found[1]}"})
        try:
            limit = _read_limit(request.body)
        except (ValueError, TypeError, KeyError) as error:
            return _respond(HTTPStatus.BAD_REQUEST, {"Message": repr(error)})
        function.reserve(limit)
        return _respond(HTTPStatus.OK, {FIELD: limit})


def _read_limit(body: bytes) -> int:
    limit = json.loads(body)[FIELD]
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise ValueError(limit)
    return limit


def _respond(status: HTTPStatus, document: object) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "application/json")], json.dumps(document).encode())
