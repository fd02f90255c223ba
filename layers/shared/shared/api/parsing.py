"""A request read into a call: who calls, the path's ids, the key, the body or query, If-Match, in this order."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from shared.admission.ports import Admitted, Charge, KeyUse, Limited, Verdict
from shared.api.auth.access import Access, access_to
from shared.api.auth.caller import Caller
from shared.api.client_address import hashed_address
from shared.api.idempotency_key import read_key
from shared.api.if_match import IfMatch
from shared.api.operation import Call, Operation
from shared.api.problems import CATALOGUE
from shared.api.rate_limits import limit_refusal, quota_headers
from shared.api.request import Request
from shared.container import Wiring
from shared.database.transaction import Pending, Transaction
from shared.errors import Refusal

# What the client must mend before anything can be decided. Each such call costs us the reading of it, and finds out
# nothing about anyone; so it is charged, to a limit of its own.
UNREADABLE = frozenset({400, 413, 415, 422, 428})
INVALID_REQUEST = "invalid-request"
READ = "read"


def read_call(operation: Operation, request: Request, wiring: Wiring) -> Call[Any]:
    """Return the call that a request makes, allowed and readable.

    Raises Refusal: unauthenticated, forbidden, not-found, and what can't be read, which is charged to the caller's
    limit for invalid requests. Over that it is too-many-requests.
    """
    caller = operation.caller(request, wiring)
    principal = _principal(request, caller, wiring)
    try:
        return _call(operation, request, caller, principal, wiring)
    except Refusal as refusal:
        if refusal.name in CATALOGUE and CATALOGUE[refusal.name].status in UNREADABLE:
            _charge_unreadable(refusal, principal, wiring)
        raise


def _charge_unreadable(refusal: Refusal, principal: str, wiring: Wiring) -> None:
    verdict = _charge(INVALID_REQUEST, principal, wiring)
    if isinstance(verdict, Admitted):
        refusal.headers |= quota_headers(verdict.quota)


def _charge(name: str, principal: str, wiring: Wiring) -> Verdict:
    """Charge one request to a limit. Raises Refusal("too-many-requests")."""
    limit = wiring.settings.limit(name)
    verdict = wiring.state.admit(charge=Charge(f"{limit.name} {principal}", limit), use=None, lease_s=0)
    if isinstance(verdict, Limited):
        raise limit_refusal(verdict)
    return verdict


def _refuse(access: Access, request: Request, principal: str, wiring: Wiring) -> NoReturn:
    """Refuse a caller whose token does not open the operation.

    Where the path names a record, only who may see it is told that it is there: that costs a read, charged as one.
    Raises Refusal: forbidden, not-found, too-many-requests.
    """

    def require(tx: Transaction) -> Pending[None]:
        access.require(tx)
        return Pending(lambda: None)

    if access.record is None:
        raise Refusal("forbidden")
    _charge(READ, principal, wiring)
    wiring.database.run(require, request.deadline)
    raise Refusal("not-found")


def _call(operation: Operation, request: Request, caller: Caller | None, principal: str, wiring: Wiring) -> Call[Any]:
    ids = request.ids()
    if caller is not None and not operation.is_open_to(caller):
        _refuse(access_to(ids, caller, operation.access), request, principal, wiring)
    key = _key(operation, request)
    if operation.changes:
        _refuse_encoding(request)
    value, plain = operation.read_input(request, wiring.clock())
    if_match = operation.precondition(request)
    scope = _scope(operation, caller)
    # A scope of their own for the ids of requests: no key can meet one.
    names = (scope, key) if key is not None else (f"request {scope}", request.request_id)
    use = KeyUse(*names, _fingerprint(request, if_match, plain))
    call = Call(operation, value, ids, caller, principal, if_match, request, use, wiring)
    call.choose_role()
    return call


def _key(operation: Operation, request: Request) -> str | None:
    if not operation.changes:
        return None
    field = request.headers.get("idempotency-key")
    if field is not None:
        return read_key(field)
    if operation.key == "required":
        raise Refusal("idempotency-key-required")
    return None


def _refuse_encoding(request: Request) -> None:
    # What API Gateway unpacks arrives without the field; what it leaves alone is nothing that we unpack.
    if request.body and request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        detail = "Send the body without a Content-Encoding."
        raise Refusal("unsupported-media-type", detail=detail, headers={"Accept-Encoding": "identity"})


def _principal(request: Request, caller: Caller | None, wiring: Wiring) -> str:
    """Return whom limits count: the account, else the address, of which only a keyed hash is kept."""
    if caller is not None:
        return f"sub:{caller.sub}"
    return f"address:{hashed_address(request.source_ip, wiring.settings.address_secret)}"


def _scope(operation: Operation, caller: Caller | None) -> str:
    """Return where a key counts: the account's calls of the operation; without an account, all calls of it.

    A phone that changes its network between two tries keeps neither its address nor an account to be known by.
    """
    who = f"sub:{caller.sub}" if caller is not None else "anonymous"
    return f"{who} {operation.method} {operation.resource}"


def _fingerprint(request: Request, if_match: IfMatch | None, plain: Mapping[str, Any]) -> str:
    asked = [dict(request.path), if_match.canonical if if_match else None, plain]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
