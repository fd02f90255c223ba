"""The local route of saved code: the environments of the functions that read it are replaced."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from local.http_server import HttpRequest, HttpResponse
from local.runtime.invocation import InvocationOutcome
from local.runtime.versions import CodeReplacement, FunctionFleet

CODE_PATH = "/_local/code"


class CodeRoute:
    """The handler of this route."""

    def __init__(self, fleet: FunctionFleet) -> None:
        self._fleet = fleet

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response: by function, whether it ran, and why it doesn't start now."""
        try:
            files = [Path(name).resolve() for name in json.loads(request.body)["files"]]
        except (ValueError, TypeError, KeyError) as error:
            return _respond(HTTPStatus.BAD_REQUEST, {"message": repr(error)})
        ends = await self._fleet.replace_environments(files)
        return _respond(HTTPStatus.OK, {name: _describe(end) for name, end in ends.items()})


def _describe(end: CodeReplacement) -> dict[str, Any]:
    return {"was_running": end.was_running, "failure": _read_message(end.failure) if end.failure else ""}


def _read_message(failure: InvocationOutcome) -> str:
    """Return why an environment did not start, and the last place in the code that it came to."""
    error = json.loads(failure.payload)
    place = "".join((error.get("stackTrace") or [""])[-1].strip().splitlines()[:1])
    return f"{error.get('errorType', '')}: {error.get('errorMessage', '')}" + (f" ({place})" if place else "")


def _respond(status: HTTPStatus, document: object) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "application/json")], json.dumps(document).encode())
