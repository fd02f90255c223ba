"""How a call runs: admission (limit and key), the operation, and what is kept under the key."""

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from shared.admission.ports import (
    Admitted,
    Charge,
    KeyReused,
    KeyUse,
    Limited,
    Replay,
    Running,
    StoredAnswer,
    Verdict,
)
from shared.api.finality import is_final
from shared.api.if_match import WEAK_TAG
from shared.api.operation import Call
from shared.api.problems import MEDIA_TYPE, retry_after, told
from shared.api.rate_limits import limit_refusal, quota_headers
from shared.api.request import Request
from shared.crash_points import step
from shared.errors import Refusal
from shared.logging import logger, where_it_failed
from shared.outbox import NUDGE

# A key's lease outlives the invocation that holds it, so nobody else can begin while it may still commit.
LEASE_MARGIN_S = 1.0


def admit_and_run(call: Call[Any]) -> StoredAnswer:
    """Return the answer of a call: its own, or its key's first one. Raises what the operation raises, and Refusal."""
    return _renew_expiring(call, _admit_or_replay(call))


def _admit_or_replay(call: Call[Any]) -> StoredAnswer:
    held = call.use if call.operation.changes and "idempotency-key" in call.request.headers else None
    charge = _charge(call)
    if held is None and charge is None:
        return _run_holding(call, None, None)
    lease_s = call.request.deadline.left() + LEASE_MARGIN_S
    verdict = call.wiring.state.admit(charge=charge, use=held, lease_s=lease_s)
    if isinstance(verdict, Admitted):
        answer = _run_holding(call, held, verdict.token)
        return _with_headers(answer, quota_headers(verdict.quota))
    if isinstance(verdict, Replay) and call.by_staff:
        call.require_access()  # what was answered then is about others: only to somebody who still works here
    return _turned_away(verdict)


def problem_answer(error: BaseException, request: Request) -> StoredAnswer:
    """Return the problem details of an error; one of ours is logged."""
    problem = told(error, request.request_id)
    if problem.status >= 500:
        what = getattr(error, "what", None) or getattr(error, "code", None)
        logger.error("request_failed", extra={"request_id": request.request_id, "what": what, **where_it_failed(error)})
    headers = {"Content-Type": MEDIA_TYPE, **problem.headers}
    if problem.docs_path:
        headers["Link"] = f'<{request.base_path}{problem.docs_path}>; rel="describedby"; type="text/html"'
    return StoredAnswer(problem.status, headers, json.dumps(problem.body, ensure_ascii=False))


def _charge(call: Call[Any]) -> Charge | None:
    rule = call.operation.limit
    if rule is None:
        return None
    limit = call.wiring.settings.limit(rule(call.caller) if callable(rule) else rule)
    return Charge(f"{limit.name} {call.principal}", limit)


def _turned_away(verdict: Verdict) -> StoredAnswer:
    match verdict:
        case Replay(answer):
            return _with_headers(answer, {"Idempotency-Replayed": "true"})
        case Running(retry_after_s):
            raise Refusal("request-in-progress", headers={"Retry-After": retry_after(retry_after_s)})
        case KeyReused():
            raise Refusal("idempotency-key-reused")
        case Limited():
            raise limit_refusal(verdict)
        case _:
            raise AssertionError(verdict)


def _run_holding(call: Call[Any], held: KeyUse | None, token: str | None) -> StoredAnswer:
    """Run the operation; keep its answer, or a final refusal, under the key, and give the key back otherwise."""
    try:
        answer = _run(call)
    except Exception as error:
        _explain_weak_tag(call, error)
        if not is_final(error):
            if held is not None and token is not None:
                call.wiring.state.release(held, token)
            raise
        answer = problem_answer(error, call.request)
    step("http.ran")
    nudged = call.wiring.nudge_soon() if NUDGE in call.signals else None
    if held is not None and token is not None:
        call.wiring.state.complete(held, token, answer)
    if nudged is not None:
        nudged()
    return _with_headers(answer, {"Idempotency-Replayed": "true"}) if call.replayed else answer


def _explain_weak_tag(call: Call[Any], error: Exception) -> None:
    if isinstance(error, Refusal) and error.name == "stale-version" and call.if_match and call.if_match.is_weak:
        error.detail = WEAK_TAG


def _run(call: Call[Any]) -> StoredAnswer:
    answer = call.operation.run(call)
    body = answer.raw if answer.raw is not None else answer.view.model_dump_json(by_alias=True) if answer.view else ""
    location = {"Location": call.request.base_path + answer.location} if answer.location else {}
    media_type = {"Content-Type": call.operation.media_type} if answer.status != HTTPStatus.NO_CONTENT else {}
    headers = {**media_type, **answer.headers, **location}
    return StoredAnswer(answer.status, headers, body, answer.facts)


def _renew_expiring(call: Call[Any], kept: StoredAnswer) -> StoredAnswer:
    """Return the whole of an answer of which a part expires and is made now."""
    if kept.facts is None or call.operation.renew is None:
        return kept
    made = call.operation.renew(call, kept.facts).model_dump_json(by_alias=True)
    return StoredAnswer(kept.status, kept.headers, f"{kept.body.removesuffix('}')},{made.removeprefix('{')}")


def _with_headers(answer: StoredAnswer, headers: Mapping[str, str]) -> StoredAnswer:
    return replace(answer, headers={**answer.headers, **headers})
