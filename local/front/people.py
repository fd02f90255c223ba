"""The people that the front page signs in: local staff, and a local agent and member, registered through the API."""

import base64
import binascii
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local.deploy import EmulatorClients
from local.front.model import format_time
from local.stack import Stack
from local.tokens import TokenError, create_staff, has_group, sign_in, wait_for_identity

Role = Literal["member", "agent", "staff", "admin"]
ROLES: tuple[Role, ...] = ("member", "agent", "staff", "admin")
REGISTERED_ROLES = ("member", "agent")  # through the API; the others by the operations function
DOMAIN = "interdomestik.test"  # that of the mails' sender: no test and no tour has people there
TERMS = "2026-01"
# What each may do, as the page says it beside the button.
ABILITIES: Mapping[Role, str] = {
    "member": "files claims, adds documents, follows them",
    "agent": "sees their own members and commissions",
    "staff": "decides about agents and claims",
    "admin": "as staff; pays commissions, repeats failed jobs",
}
AGENT = {
    "full_name": "Local Agent", "phone": "+38344555100", "city": "Prishtinë", "language": "en", "terms_version": TERMS,
}  # fmt: skip
MEMBER = {
    "full_name": "Local Member", "phone": "+38344555101", "country": "XK", "language": "en", "plan": "family",
    "terms_version": TERMS,
}  # fmt: skip
CALL_S = 30.0


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who is signed in; `expires_at` is when their token ends, empty if it does not say."""

    email: str
    role: str
    access_token: str
    expires_at: str = ""


def build_address(role: Role) -> str:
    """Return the mail address of the local person with a role."""
    return f"{role}@{DOMAIN}"


def sign_in_person(stack: Stack, front: str, *, role: Role | None, email: str) -> SignedIn:
    """Return somebody signed in, by role or by address; the person of a role is made if missing. Raise TokenError."""
    identity = EmulatorClients(stack.endpoint_url).get("cognito-idp")
    address = email or build_address(role or "member")
    if role in REGISTERED_ROLES and not has_group(identity, stack.user_pool_id, address):
        register_person(stack, front, role, address)
    elif role and role not in REGISTERED_ROLES:
        create_staff(front, email=address, role=role)
    wait_for_identity(identity, stack.user_pool_id, address)
    return read_sign_in(address, sign_in(identity, stack, address))


def register_person(stack: Stack, front: str, role: Role | None, address: str) -> None:
    """Register a member, or an agent, whom the local staff member approves. Raise TokenError."""
    prefix, key = f"{front}/{stack.stage}", f"local-{address}"
    if role == "member":
        _post(f"{prefix}/members", {**MEMBER, "email": address}, key=key)
        return
    agent = _post(f"{prefix}/agents", {**AGENT, "email": address}, key=key)
    staff = sign_in_person(stack, front, role="staff", email="")
    decision = {"decision": "approve", "reason": "The local cloud's own agent."}
    _post(f"{prefix}/agents/{agent['id']}/decision", decision, key=key, token=staff.access_token)


def read_sign_in(email: str, token: str) -> SignedIn:
    """Return a sign-in with what its token says: the role, and when it ends."""
    claims = _read_claims(token)
    groups = claims.get("cognito:groups") or [""]
    ends = claims.get("exp")
    return SignedIn(email, str(groups[0]), token, format_time(ends)[:19] + "Z" if isinstance(ends, int) else "")


def _read_claims(token: str) -> dict[str, Any]:
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _post(url: str, body: Mapping[str, str], *, key: str, token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=CALL_S) as reply:  # noqa: S310
            answer: dict[str, Any] = json.load(reply)
            return answer
    except urllib.error.HTTPError as error:
        raise TokenError(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:500]}") from error
    except (OSError, ValueError) as error:
        raise TokenError(f"{url}: {error}") from error
