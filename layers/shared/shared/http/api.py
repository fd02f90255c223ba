"""A room's API: its operations, found by method and resource (the gateway has done the routing), and how a call runs.

admission (limit and key, one flight) → the operation (one flight) → the answer kept, the relay nudged
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Required, TypedDict, TypeVar, Unpack

from pydantic import BaseModel

from shared.errors import Refusal
from shared.http.caller import Caller, Group
from shared.http.operation import Answer, Call, KeyRule, LimitRule, Operation, SignInRule
from shared.http.problems import MEDIA_TYPE, is_final, retry_after, told
from shared.http.request import Request
from shared.logs import logger, where_it_failed
from shared.outbox import NUDGE
from shared.resilience.admission import (
    Admitted,
    Charge,
    KeyReused,
    KeyUse,
    Limited,
    Quota,
    Replay,
    Running,
    StoredAnswer,
    Verdict,
)
from shared.resilience.deadline import Deadline, under
from shared.steps import step
from shared.wiring import Wiring

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the input's type
Run = Callable[[Call[I]], Answer]


class Contract(TypedDict, total=False):
    """What an operation may say of itself; see Operation."""

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


# A key's lease outlives the invocation that holds it, so nobody else can begin while it may still commit.
LEASE_MARGIN_S = 1.0
MAX_KEY_LENGTH = 255
EXPOSED = "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, X-Request-Id"


class Api:
    """The operations of one function."""

    def __init__(self) -> None:
        self.operations: dict[tuple[str, str], Operation] = {}

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

    def _register(self, method: str, resource: str, contract: Contract) -> Callable[[Run[I]], Run[I]]:
        def register(run: Run[I]) -> Run[I]:
            self.operations[method, resource] = Operation(method, resource, run, **contract)
            return run

        return register

    def handle(self, event: Mapping[str, Any], context: Any, wiring: Wiring) -> dict[str, Any]:
        """Answer a proxy event; every error comes back as problem details."""
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
            },
        )
        step("http.answered")
        return response

    def _respond(self, request: Request, wiring: Wiring) -> dict[str, Any]:
        try:
            operation = self._find(request)
            call = _parse(operation, request, wiring)
            step("http.parsed")
            stored = _admit_and_run(call)
        except Exception as error:  # noqa: BLE001 - the outermost: what gets past here becomes a 502
            stored = _problem(error, request)
        return _response(stored, request, wiring)

    def _find(self, request: Request) -> Operation:
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operations.get((method, request.resource))
        if operation is not None:
            return operation
        allowed = sorted(m for m, resource in self.operations if resource == request.resource)
        if not allowed:
            raise Refusal("not-found", detail="There is no such path.")
        raise Refusal("method-not-allowed", headers={"Allow": ", ".join([*allowed, "OPTIONS"])})


def _parse(operation: Operation, request: Request, wiring: Wiring) -> Call[Any]:
    caller = operation.caller(request, wiring)
    key = _key(operation, request)
    ids = request.ids()
    value, plain = operation.read_input(request, wiring.clock())
    use = KeyUse(_scope(operation, request, caller), key or request.request_id, _fingerprint(request, plain))
    return Call(operation, value, ids, caller, operation.version(request), request, use, wiring)


def _key(operation: Operation, request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if not operation.changes:
        return None
    if key is None:
        if operation.key == "required":
            raise Refusal("idempotency-key-required")
        return None
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not all("!" <= c <= "~" for c in key):
        raise Refusal("malformed-request", detail="Idempotency-Key is 1 to 255 visible ASCII characters.")
    return key


def _scope(operation: Operation, request: Request, caller: Caller | None) -> str:
    return f"{request.principal(caller)} {operation.method} {operation.resource}"


def _fingerprint(request: Request, plain: Mapping[str, Any]) -> str:
    asked = [dict(request.path), request.headers.get("if-match"), plain]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _admit_and_run(call: Call[Any]) -> StoredAnswer:
    held = call.use if call.operation.changes and "idempotency-key" in call.request.headers else None
    charge = _charge(call)
    if held is None and charge is None:
        return _run_holding(call, None, None)
    lease_s = call.request.deadline.left() + LEASE_MARGIN_S
    verdict = call.wiring.state.admit(charge=charge, use=held, lease_s=lease_s)
    if isinstance(verdict, Admitted):
        answer = _run_holding(call, held, verdict.token)
        return _with_headers(answer, _quota_headers(verdict.quota))
    return _turned_away(verdict)


def _charge(call: Call[Any]) -> Charge | None:
    rule = call.operation.limit
    if rule is None:
        return None
    limit = call.wiring.settings.limit(rule(call.caller) if callable(rule) else rule)
    return Charge(f"{limit.name} {call.request.principal(call.caller)}", limit)


def _turned_away(verdict: Verdict) -> StoredAnswer:
    match verdict:
        case Replay(answer):
            return _with_headers(answer, {"Idempotency-Replayed": "true"})
        case Running(retry_after_s):
            raise Refusal("request-in-progress", headers={"Retry-After": retry_after(retry_after_s)})
        case KeyReused():
            raise Refusal("idempotency-key-reused")
        case Limited(quota, retry_after_s):
            headers = {**_quota_headers(quota), "Retry-After": retry_after(retry_after_s)}
            raise Refusal("too-many-requests", headers=headers)
        case _:
            raise AssertionError(verdict)


def _run_holding(call: Call[Any], held: KeyUse | None, token: str | None) -> StoredAnswer:
    """Runs the operation; its answer, or a refusal that would be the same again, is kept under the key."""
    try:
        answer = _run(call)
    except Exception as error:
        if not is_final(error):
            if held is not None and token is not None:
                call.wiring.state.release(held, token)
            raise
        answer = _problem(error, call.request)
    step("http.ran")
    nudged = call.wiring.nudge_soon() if NUDGE in call.signals else None
    if held is not None and token is not None:
        call.wiring.state.complete(held, token, answer)
    if nudged is not None:
        nudged()
    return _with_headers(answer, {"Idempotency-Replayed": "true"}) if call.replayed else answer


def _run(call: Call[Any]) -> StoredAnswer:
    answer = call.operation.run(call)
    body = answer.raw if answer.raw is not None else answer.view.model_dump_json(by_alias=True) if answer.view else ""
    return StoredAnswer(answer.status, {"Content-Type": call.operation.media_type, **answer.headers}, body)


def _problem(error: BaseException, request: Request) -> StoredAnswer:
    problem = told(error, request.request_id)
    if problem.status >= 500:
        what = getattr(error, "what", None) or getattr(error, "code", None)
        logger.error("request_failed", extra={"request_id": request.request_id, "what": what, **where_it_failed(error)})
    body = json.dumps(problem.body, ensure_ascii=False)
    return StoredAnswer(problem.status, {"Content-Type": MEDIA_TYPE, **problem.headers}, body)


def _quota_headers(quota: Quota | None) -> dict[str, str]:
    # draft-ietf-httpapi-ratelimit-headers-10: q requests a window of w seconds; r left, all back in t seconds.
    if quota is None:
        return {}
    name, limit = quota.limit.name, quota.limit
    return {
        "RateLimit-Policy": f'"{name}";q={limit.burst};w={round(limit.period_s)}',
        "RateLimit": f'"{name}";r={quota.remaining};t={round(quota.reset_s)}',
    }


def _with_headers(answer: StoredAnswer, headers: Mapping[str, str]) -> StoredAnswer:
    return StoredAnswer(answer.status, {**answer.headers, **headers}, answer.body)


def _response(answer: StoredAnswer, request: Request, wiring: Wiring) -> dict[str, Any]:
    headers = {
        **answer.headers,
        "X-Request-Id": request.request_id,
        "Cache-Control": answer.headers.get("Cache-Control", "no-store"),
        "X-Content-Type-Options": "nosniff",
        **_cors(request, wiring),
    }
    body = "" if request.method == "HEAD" else answer.body
    return {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": False}


def _cors(request: Request, wiring: Wiring) -> dict[str, str]:
    origin, allowed = request.headers.get("origin"), wiring.settings.origins
    if origin is None or not ({"*", origin} & allowed):
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": "*" if "*" in allowed else origin,
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }
