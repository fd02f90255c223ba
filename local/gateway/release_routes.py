"""The local routes of releases: publishing versions, moving aliases, and the call by which a hook tells its result."""

import json
import re
from http import HTTPStatus
from typing import Any

from local.http_server import HttpRequest, HttpResponse
from local.runtime.versions import FunctionFleet, FunctionVersions, UnknownVersion

VERSIONS = re.compile(r"/_local/functions/(\w+)/versions")
ALIAS = re.compile(r"/_local/functions/(\w+)/alias")
CODEDEPLOY = re.compile(r"/_local/codedeploy/?([\w-]*)")
HOOK_RESULT = "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus"


class ReleaseRoutes:
    """The handler of these routes. The hooks' results are kept by the id of the execution."""

    def __init__(self, fleet: FunctionFleet) -> None:
        self._fleet = fleet
        self._results: dict[str, str] = {}

    def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response, None for a path that is none of these routes."""
        if found := CODEDEPLOY.fullmatch(request.path):
            return self._handle_hook_result(request, found[1])
        for pattern, act in ((VERSIONS, self._publish), (ALIAS, self._shift)):
            if found := pattern.fullmatch(request.path):
                return self._change_function(request, found[1], act)
        return None

    def _change_function(self, request: HttpRequest, name: str, act: Any) -> HttpResponse:
        function = self._fleet.pools.get(name)
        if function is None:
            return _respond(HTTPStatus.NOT_FOUND, {"message": f"Function not found: {name}"})
        try:
            return _respond(HTTPStatus.OK, act(function, json.loads(request.body)))
        except UnknownVersion as error:
            return _respond(HTTPStatus.NOT_FOUND, {"message": f"Version not found: {error}"})
        except (ValueError, TypeError, KeyError) as error:
            return _respond(HTTPStatus.BAD_REQUEST, {"message": str(error)})

    def _publish(self, function: FunctionVersions, document: dict[str, Any]) -> dict[str, Any]:
        return {"Version": function.publish(**document)}

    def _shift(self, function: FunctionVersions, document: dict[str, Any]) -> dict[str, Any]:
        function.shift(document["weights"])
        return {"weights": function.weights}

    def _handle_hook_result(self, request: HttpRequest, execution: str) -> HttpResponse:
        if request.find_header("x-amz-target") == HOOK_RESULT:
            document = json.loads(request.body)
            self._results[document["lifecycleEventHookExecutionId"]] = document["status"]
            return _respond(HTTPStatus.OK, document)
        return _respond(HTTPStatus.OK, {"status": self._results.get(execution, "Pending")})


def _respond(status: HTTPStatus, document: object) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "application/json")], json.dumps(document).encode())
