"""The router of a function's API, which finds an operation by method and resource, as API Gateway has routed them.

A write takes two round trips in sequence: admission (limit and key), then the operation's transaction. The relay is
woken while the transaction is under way.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, Unpack

from typing_extensions import TypeVar

from shared.admission.ports import StoredAnswer
from shared.api.call import ApiRequest, Call, I
from shared.api.cors import build_cors_headers, is_preflight
from shared.api.execution import answer_request
from shared.api.operation import Operation, OperationOptions
from shared.api.parsing import describe_event, is_request, parse_request
from shared.api.responses import Answer, build_gateway_response
from shared.api.services import Services
from shared.crash_points import crash_point
from shared.deadline import Deadline, use_deadline
from shared.errors import Refusal
from shared.logging import logger
from shared.tracing import use_trace

S = TypeVar("S", bound=Services, default=Services)
Handler = Callable[[Call[I, S]], Answer]


class Api(Generic[S]):
    """The operations of one function."""

    def __init__(self) -> None:
        self.operations: dict[tuple[str, str], Operation] = {}
        self._declared_methods: set[tuple[str, str]] = set()

    def declare_methods(self, resource: str, *methods: str) -> None:
        """Declare methods that another function serves, for the Allow header of requests that end up here."""
        self._declared_methods |= {(method, resource) for method in methods}

    def get(self, resource: str, **contract: Unpack[OperationOptions]) -> Callable[[Handler[I, S]], Handler[I, S]]:
        """Register a GET operation."""
        reading: OperationOptions = {"key": "none", "limit": "read", **contract}
        return self._register("GET", resource, reading)

    def post(self, resource: str, **contract: Unpack[OperationOptions]) -> Callable[[Handler[I, S]], Handler[I, S]]:
        """Register a POST operation."""
        return self._register("POST", resource, contract)

    def put(self, resource: str, **contract: Unpack[OperationOptions]) -> Callable[[Handler[I, S]], Handler[I, S]]:
        """Register a PUT operation."""
        return self._register("PUT", resource, contract)

    def patch(self, resource: str, **contract: Unpack[OperationOptions]) -> Callable[[Handler[I, S]], Handler[I, S]]:
        """Register a PATCH operation."""
        return self._register("PATCH", resource, contract)

    def delete(self, resource: str, **contract: Unpack[OperationOptions]) -> Callable[[Handler[I, S]], Handler[I, S]]:
        """Register a DELETE operation."""
        return self._register("DELETE", resource, contract)

    def _register(
        self, method: str, resource: str, contract: OperationOptions
    ) -> Callable[[Handler[I, S]], Handler[I, S]]:
        def register(run: Handler[I, S]) -> Handler[I, S]:
            self.operations[method, resource] = Operation(method, resource, run, **contract)
            return run

        return register

    def handle(self, event: Mapping[str, Any], context: Any, services: S) -> dict[str, Any]:
        """Answer a proxy event, any error with problem details. Return {} for an event that is no request."""
        if not is_request(event):
            logger.warning("event_not_recognised", extra=describe_event(event))
            return {}
        crash_point("api.received")
        started = time.perf_counter()
        deadline = Deadline.from_seconds(context.get_remaining_time_in_millis() / 1000, time.monotonic)
        request = parse_request(event, deadline)
        with use_deadline(deadline), use_trace(request.trace):
            answer = answer_request(self._resolve, request, services)
        response = build_gateway_response(
            answer,
            method=request.method,
            request_id=request.request_id,
            cors=build_cors_headers(request, services.settings),
        )
        _log_request(request, answer, time.perf_counter() - started)
        crash_point("api.answered")
        return response

    def _resolve(self, request: ApiRequest) -> Operation | StoredAnswer:
        """Return the operation of a request, or directly the answer to OPTIONS. Raise Refusal if there is neither."""
        if request.method == "OPTIONS":
            return self._answer_options(request)
        return self._find_operation(request)

    def _answer_options(self, request: ApiRequest) -> StoredAnswer:
        """Answer OPTIONS without token, limit or database. Raise Refusal("not-found") for an unknown path.

        A preflight for an unknown path is answered too: otherwise a browser would hide the 404 of the call that
        follows.
        """
        if is_preflight(request):
            return StoredAnswer(204, {}, "")
        return StoredAnswer(204, {"Allow": self._list_allowed_methods(request.resource)}, "")

    def _find_operation(self, request: ApiRequest) -> Operation:
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operations.get((method, request.resource))
        if operation is not None:
            return operation
        allowed = self._list_allowed_methods(request.resource)
        raise Refusal("method-not-allowed", detail=f"This path takes {allowed}.", headers={"Allow": allowed})

    def _list_allowed_methods(self, path: str) -> str:
        """Return the methods of a path for the Allow header. Raise Refusal("not-found") if there are none."""
        known = {*self.operations, *self._declared_methods}
        allowed = sorted(method for method, resource in known if resource == path)
        if not allowed:
            raise Refusal("not-found", detail="There is no such path.")
        if "GET" in allowed:
            allowed.insert(allowed.index("GET") + 1, "HEAD")
        return ", ".join([*allowed, "OPTIONS"])


def _log_request(request: ApiRequest, answer: StoredAnswer, seconds: float) -> None:
    # The path of the record that the call has made: if a restore loses the record, only this line may still name it.
    location = {"location_header": answer.headers["Location"]} if "Location" in answer.headers else {}
    logger.info(
        "request",
        extra={
            "method": request.method,
            "resource": request.resource,
            "status": answer.status,
            **location,
            "duration_ms": round(seconds * 1000, 1),
            "gateway_id": request.gateway_id,
            **request.trace.log_fields,
        },
    )
