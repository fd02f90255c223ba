"""A room's API: its operations, found by method and resource (the gateway has done the routing), and how a call runs.

admission (limit and key, one flight) → the operation (one flight) → the answer kept, the relay nudged
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Required, TypedDict, TypeVar, Unpack

from pydantic import BaseModel

from shared.admission.ports import StoredAnswer
from shared.api.auth.caller import Group
from shared.api.cors import cors_headers, is_preflight
from shared.api.execution import admit_and_run, problem_answer
from shared.api.operation import Answer, Call, KeyRule, LimitRule, Operation, SignInRule
from shared.api.parsing import read_call
from shared.api.request import Request, describe_event, is_request
from shared.container import Wiring
from shared.crash_points import step
from shared.deadline import Deadline, under
from shared.errors import Refusal
from shared.logging import logger

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the input's type
Run = Callable[[Call[I]], Answer]


class Contract(TypedDict, total=False):
    """The keywords that describe an operation; see Operation."""

    summary: Required[str]
    answer: Required[type[BaseModel] | None]
    input: type[BaseModel]
    status: int
    also_status: tuple[int, ...]
    access: frozenset[Group] | None
    sign_in: SignInRule
    limit: LimitRule
    key: KeyRule
    if_match: bool
    refusals: tuple[str, ...]
    media_type: str
    renew: Callable[[Call[Any], Mapping[str, Any]], BaseModel]


# On every answer, the gateway's own included (template.yaml): two years of HTTPS alone, and no guessing of types.
SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


class Api:
    """The operations of one function."""

    def __init__(self) -> None:
        self.operations: dict[tuple[str, str], Operation] = {}
        self._served_elsewhere: set[tuple[str, str]] = set()

    def name_methods(self, resource: str, *methods: str) -> None:
        """Name the methods that another function serves, for the Allow of those that end up here."""
        self._served_elsewhere |= {(method, resource) for method in methods}

    def get(self, resource: str, **contract: Unpack[Contract]) -> Callable[[Run[I]], Run[I]]:
        """Register a read."""
        reading: Contract = {"key": "none", "limit": "read", **contract}
        return self._register("GET", resource, reading)

    def post(self, resource: str, **contract: Unpack[Contract]) -> Callable[[Run[I]], Run[I]]:
        """Register a POST."""
        return self._register("POST", resource, contract)

    def put(self, resource: str, **contract: Unpack[Contract]) -> Callable[[Run[I]], Run[I]]:
        """Register a PUT."""
        return self._register("PUT", resource, contract)

    def patch(self, resource: str, **contract: Unpack[Contract]) -> Callable[[Run[I]], Run[I]]:
        """Register a PATCH."""
        return self._register("PATCH", resource, contract)

    def delete(self, resource: str, **contract: Unpack[Contract]) -> Callable[[Run[I]], Run[I]]:
        """Register a DELETE."""
        return self._register("DELETE", resource, contract)

    def _register(self, method: str, resource: str, contract: Contract) -> Callable[[Run[I]], Run[I]]:
        def register(run: Run[I]) -> Run[I]:
            self.operations[method, resource] = Operation(method, resource, run, **contract)
            return run

        return register

    def handle(self, event: Mapping[str, Any], context: Any, wiring: Wiring) -> dict[str, Any]:
        """Answer a proxy event; every error comes back as problem details. An event that is no request gets {}."""
        if not is_request(event):
            logger.warning("no_request", extra=describe_event(event))
            return {}
        step("http.received")
        started = time.perf_counter()
        deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000, time.monotonic)
        request = Request.from_event(event, deadline)
        with under(deadline):
            response = self._respond(request, wiring)
        logger.info(
            "request",
            extra={
                "method": request.method,
                "resource": request.resource,
                "status": response["statusCode"],
                "duration_ms": round((time.perf_counter() - started) * 1000, 1),
                "request_id": request.request_id,
                "gateway_id": request.gateway_id,
            },
        )
        step("http.answered")
        return response

    def _respond(self, request: Request, wiring: Wiring) -> dict[str, Any]:
        try:
            stored = self._options(request) if request.method == "OPTIONS" else self._run(request, wiring)
        except Exception as error:  # noqa: BLE001 - the outermost: what gets past here becomes a 502
            stored = problem_answer(error, request)
        return _response(stored, request, wiring)

    def _run(self, request: Request, wiring: Wiring) -> StoredAnswer:
        call = read_call(self._find(request), request, wiring)
        step("http.parsed")
        return admit_and_run(call)

    def _options(self, request: Request) -> StoredAnswer:
        """Answer OPTIONS without token, limit or database. Raise Refusal("not-found") for a path that does not exist.

        A preflight is answered there too: otherwise a browser would hide the 404 of the call that follows.
        """
        if is_preflight(request):
            return StoredAnswer(204, {}, "")
        return StoredAnswer(204, {"Allow": self._allow(request.resource)}, "")

    def _find(self, request: Request) -> Operation:
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operations.get((method, request.resource))
        if operation is not None:
            return operation
        raise Refusal("method-not-allowed", headers={"Allow": self._allow(request.resource)})

    def _allow(self, path: str) -> str:
        """Return the methods of a path, as Allow lists them. Raise Refusal("not-found") where there are none."""
        known = {*self.operations, *self._served_elsewhere}
        allowed = sorted(method for method, resource in known if resource == path)
        if not allowed:
            raise Refusal("not-found", detail="There is no such path.")
        if "GET" in allowed:
            allowed.insert(allowed.index("GET") + 1, "HEAD")
        return ", ".join([*allowed, "OPTIONS"])


def _response(answer: StoredAnswer, request: Request, wiring: Wiring) -> dict[str, Any]:
    headers = {
        **answer.headers,
        "X-Request-Id": request.request_id,
        "Cache-Control": answer.headers.get("Cache-Control", "no-store"),
        **SECURITY_HEADERS,
        **cors_headers(request, wiring.settings),
    }
    body = "" if request.method == "HEAD" else answer.body
    return {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": False}
