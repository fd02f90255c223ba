"""The execution of a call: identify, parse, admit by limit and key, run, and answer; a repeat gets the first answer.

A call that can't be read, or whose caller may not make it, is not run; such calls count against limits too.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from shared.admission.ports import (
    AdmissionDecision,
    Admitted,
    InProgress,
    KeyReused,
    KeyUse,
    LimitCharge,
    OverLimit,
    Replay,
    StoredAnswer,
    WorkDone,
)
from shared.api.auth.access import AccessRequirement, build_access_requirement, read_role
from shared.api.auth.caller import STAFF, Caller, identify_caller
from shared.api.call import ApiRequest, Call
from shared.api.client_address import find_limit_principal
from shared.api.final_problems import is_final
from shared.api.operation import Operation
from shared.api.parsing import NotPermitted, parse_call
from shared.api.problem_answers import build_problem_answer, format_retry_after, is_invalid_request
from shared.api.rate_limit_headers import build_quota_headers, make_limit_refusal
from shared.api.roles import explain_forbidden
from shared.api.services import Services
from shared.crash_points import crash_point
from shared.database.transaction import Committed, Pending, Transaction
from shared.errors import Refusal
from shared.outbox.jobs import WAKE_RELAY

# A call that can't be read costs only the parsing and reveals nothing. It is charged to a limit of its own, so that a
# client who corrects a form keeps the requests of the operation's limit.
INVALID_REQUEST = "invalid-request"
READ = "read"
# A key's lease outlives the invocation that holds it, so that no other call can begin while this one may still commit.
LEASE_MARGIN_S = 1.0

WEAK_TAG = (
    "If-Match compares strongly, so a weak tag (W/…) matches nothing: a proxy may have made it of ours. "
    "Read the record again, and send its version as a strong tag, with a new Idempotency-Key."
)


def answer_request(
    resolve: Callable[[ApiRequest], Operation | StoredAnswer], request: ApiRequest, services: Services
) -> StoredAnswer:
    """Return the answer to a request; every error becomes problem details.

    `resolve` returns the operation of a request, or an answer if none is needed.
    """
    try:
        found = resolve(request)
        return found if isinstance(found, StoredAnswer) else _execute(found, request, services)
    except Exception as error:  # noqa: BLE001 - the outermost handler: an exception that passes here becomes a 502
        return build_problem_answer(error, request.request_id, base_path=request.base_path)


def _execute(operation: Operation, request: ApiRequest, services: Services) -> StoredAnswer:
    """Return the answer to a request: a new one, or the first answer of its key.

    Raise Refusal and what the operation raises. A request that can't be read counts against the caller's limit for
    invalid requests; over that limit it is refused as too-many-requests.
    """
    try:
        call = _parse(operation, request, services)
        _choose_role(call)
        crash_point("api.parsed")
        return _add_expiring_part(operation, call, _admit_call(operation, call))
    except Refusal as refusal:
        explain_forbidden(refusal, operation)
        raise


def _parse(operation: Operation, request: ApiRequest, services: Services) -> Call[Any]:
    settings = services.settings
    client_id = settings.user_pool_client_id
    caller = identify_caller(
        operation.sign_in, request.claims, request.headers, verify=services.verify_token, client_id=client_id
    )
    principal = find_limit_principal(caller, request.source_ip, settings.address_secret)
    try:
        return parse_call(operation, request, caller, principal, services, now=services.clock())
    except NotPermitted as refusal:
        access = build_access_requirement(refusal.ids, refusal.caller, operation.access)
        _require_record(access, request, principal, services)
        raise Refusal("not-found" if access.record else "forbidden") from None
    except Refusal as refusal:
        if is_invalid_request(refusal):
            _charge_invalid_request(refusal, principal, services)
        raise


def _choose_role(call: Call[Any]) -> None:
    """Choose whether the caller acts as staff or as a record's owner, if the token permits the operation to both."""
    caller, allowed_groups = call.caller, call.allowed_groups
    if caller is None or allowed_groups is None or not caller.is_staff or not caller.groups & (allowed_groups - STAFF):
        return
    role = call.services.database.run(lambda tx: read_role(tx, caller.sub), call.request.deadline).value
    if role not in STAFF:
        call.caller, call.lost_staff_role = Caller(caller.sub, caller.groups - STAFF), True


def _require_record(access: AccessRequirement, request: ApiRequest, principal: str, services: Services) -> None:
    """Check whether a caller whose token does not permit the operation may see the record that the path names, if any.

    Only a caller who may see the record learns that it exists. The check costs a read and is charged as one. Raise
    Refusal: forbidden, not-found, too-many-requests.
    """

    def require(tx: Transaction) -> Pending[None]:
        access.require(tx)
        return Pending(lambda: None)

    if access.record is not None:
        _charge_limit(READ, principal, services)
        services.database.run(require, request.deadline)


def _charge_invalid_request(refusal: Refusal, principal: str, services: Services) -> None:
    decision = _charge_limit(INVALID_REQUEST, principal, services)
    if isinstance(decision, Admitted):
        refusal.headers |= build_quota_headers(decision.quota)


def _charge_limit(name: str, principal: str, services: Services) -> AdmissionDecision:
    """Charge one request to a limit. Raise Refusal("too-many-requests")."""
    limit = services.settings.find_limit(name)
    decision = services.admission_store.admit(
        charge=LimitCharge(f"{limit.name} {principal}", limit), use=None, lease_s=0
    )
    if isinstance(decision, OverLimit):
        raise make_limit_refusal(decision)
    return decision


def _admit_call(operation: Operation, call: Call[Any]) -> StoredAnswer:
    key_use = call.use if operation.is_write and "idempotency-key" in call.request.headers else None
    charge = _make_charge(operation, call)
    if key_use is None and charge is None:
        return _run_with_key(operation, call, None, None)
    decision = _ask_store(call, charge, key_use)
    if isinstance(decision, InProgress) and key_use is not None:
        if not operation.stores_answer and call.find_committed():
            return _answer_from_facts(operation, call, key_use, decision.holder)
        if decision.has_lapsed:
            decision = _ask_store(call, charge, key_use, take_from=decision.holder)
    if isinstance(decision, Admitted):
        answer = _run_with_key(operation, call, key_use, decision.token)
        return _add_headers(answer, build_quota_headers(decision.quota))
    if isinstance(decision, Replay | WorkDone) and (call.is_by_staff or call.lost_staff_role):
        call.require_access()  # the stored answer is about other people: the account must still be of staff
    if isinstance(decision, WorkDone) and key_use is not None:
        call.note_committed(Committed(decision.facts, frozenset(), decision.first_used_at))
        return _answer_from_facts(operation, call, key_use, decision.holder)
    return _answer_not_admitted(decision)


def _ask_store(
    call: Call[Any], charge: LimitCharge | None, key_use: KeyUse | None, *, take_from: str = ""
) -> AdmissionDecision:
    lease_s = call.request.deadline.seconds_left + LEASE_MARGIN_S
    return call.services.admission_store.admit(charge=charge, use=key_use, lease_s=lease_s, take_from=take_from)


def _answer_from_facts(operation: Operation, call: Call[Any], key_use: KeyUse, holder: str) -> StoredAnswer:
    """Return the answer made from the facts that the key's first call has committed, and store it for later repeats."""
    answer = _make_answer(operation, call)
    if holder:
        call.services.admission_store.complete(key_use, holder, answer, first_used_at=call.first_used_at)
    return _add_headers(answer, {"Idempotency-Replayed": "true"})


def _make_charge(operation: Operation, call: Call[Any]) -> LimitCharge | None:
    rule = operation.limit
    if rule is None:
        return None
    limit = call.services.settings.find_limit(rule(call.caller) if callable(rule) else rule)
    return LimitCharge(f"{limit.name} {call.principal}", limit)


def _answer_not_admitted(decision: AdmissionDecision) -> StoredAnswer:
    match decision:
        case Replay(answer):
            return _add_headers(answer, {"Idempotency-Replayed": "true"})
        case InProgress(retry_after_s):
            raise Refusal("request-in-progress", headers={"Retry-After": format_retry_after(retry_after_s)})
        case KeyReused():
            raise Refusal("idempotency-key-reused")
        case OverLimit():
            raise make_limit_refusal(decision)
        case _:
            raise AssertionError(decision)


def _run_with_key(operation: Operation, call: Call[Any], key_use: KeyUse | None, token: str | None) -> StoredAnswer:
    """Run the operation, and release the key after a refusal that can be lifted.

    Normally the relay keeps the facts from which a repeat's answer is made. The answer itself is stored here only
    - if it can't be made from the key's row: a final refusal, or an operation that `stores_answer`;
    - if the call turns out to be a repeat, since further repeats may follow.
    """
    call.holder = None if operation.stores_answer else token
    try:
        answer = _make_answer(operation, call)
        is_stored = operation.stores_answer or call.replayed or call.committed is None
    except Exception as error:
        _explain_weak_tag(call, error)
        call.waking.finish(is_due=False)
        if not is_final(error):
            if key_use is not None and token is not None:
                call.services.admission_store.release(key_use, token)
            raise
        answer, is_stored = build_problem_answer(error, call.request.request_id, base_path=call.request.base_path), True
    crash_point("api.ran")
    if key_use is not None and token is not None and is_stored:
        call.services.admission_store.complete(key_use, token, answer, first_used_at=call.first_used_at)
    call.waking.finish(is_due=WAKE_RELAY in call.after_commit)
    return _add_headers(answer, {"Idempotency-Replayed": "true"}) if call.replayed else answer


def _explain_weak_tag(call: Call[Any], error: Exception) -> None:
    if isinstance(error, Refusal) and error.name == "stale-version" and call.if_match and call.if_match.is_weak:
        error.detail = WEAK_TAG


def _add_expiring_part(operation: Operation, call: Call[Any], answer: StoredAnswer) -> StoredAnswer:
    """Return the complete answer if part of it expires and has to be made anew."""
    if answer.facts is None or operation.make_expiring_part is None:
        return answer
    added = operation.make_expiring_part(call, answer.facts).model_dump_json(by_alias=True)
    return StoredAnswer(answer.status, answer.headers, f"{answer.body.removesuffix('}')},{added.removeprefix('{')}")


def _make_answer(operation: Operation, call: Call[Any]) -> StoredAnswer:
    """Return the operation's answer as it is stored and sent; its Location begins with the path that the API has."""
    answer, media_type, base_path = operation.run(call), operation.media_type, call.request.base_path
    body = answer.raw if answer.raw is not None else answer.view.model_dump_json(by_alias=True) if answer.view else ""
    location = {"Location": base_path + answer.location} if answer.location else {}
    content_type = {"Content-Type": media_type} if answer.status != HTTPStatus.NO_CONTENT else {}
    return StoredAnswer(answer.status, {**content_type, **answer.headers, **location}, body, answer.facts)


def _add_headers(answer: StoredAnswer, headers: Mapping[str, str]) -> StoredAnswer:
    """Return the answer with further headers."""
    return replace(answer, headers={**answer.headers, **headers})
