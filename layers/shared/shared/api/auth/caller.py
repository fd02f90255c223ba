"""The caller of a request as named by the access token, and the groups of callers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import Refusal

Group = Literal["member", "agent", "staff", "admin"]
SignInRule = Literal["required", "optional", "none"]
# Returns a token's claims. Raises Refusal("unauthenticated"), Unavailable.
Verifier = Callable[[str], Mapping[str, Any]]

MEMBER: frozenset[Group] = frozenset({"member"})
AGENT: frozenset[Group] = frozenset({"agent"})
STAFF: frozenset[Group] = frozenset({"staff", "admin"})
ADMIN: frozenset[Group] = frozenset({"admin"})

NOT_BEARER = "The Authorization header is not 'Bearer …' with one access token."


@dataclass(frozen=True, slots=True)
class TokenFault:
    """A reason why a token is not accepted, and what to do about it."""

    description: str  # in the challenge as well, so in ASCII and without quotes or a full stop
    advice: str


EXPIRED = TokenFault("The access token has expired", "Sign in again, or renew it with its refresh token.")
NOT_YET_VALID = TokenFault("The access token is not valid yet", "Wait until the time from which it is valid.")
NOT_OURS = TokenFault("The token is not an access token of this service", "Sign in here, and send the access token.")


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity: its `sub` and its groups."""

    sub: str
    groups: frozenset[str]

    @property
    def is_staff(self) -> bool:
        """Return whether the caller is in a group of staff."""
        return bool(self.groups & STAFF)


def identify_caller(
    rule: SignInRule,
    claims: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    *,
    verify: Verifier,
    client_id: str,
) -> Caller | None:
    """Return the caller, None if anonymous. Raise Refusal("unauthenticated"), Unavailable.

    `claims` are those of a token that the gateway has verified. The gateway verifies no token if sign-in is optional,
    and none on a HEAD request, which arrives by the route for other methods. In both cases it is verified here.
    """
    if rule == "none":
        return None
    if rule == "required" and claims is not None:
        return _read_caller(claims, client_id)
    if "authorization" in headers:
        return _read_caller(verify(_read_bearer_token(headers["authorization"])), client_id)
    if rule == "required":
        raise make_unauthenticated_refusal()
    return None


def _read_bearer_token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token or not token.isascii():
        raise Refusal("unauthenticated", detail=NOT_BEARER, headers={"WWW-Authenticate": "Bearer"})
    return token.strip()


def _read_caller(claims: Mapping[str, Any], client_id: str) -> Caller:
    """Return the caller whom verified claims name.

    Raise Refusal("unauthenticated") if they name none, or if the token is not an access token of this app client: API
    Gateway's authorizer accepts tokens of every client of the pool.
    """
    sub = claims.get("sub")
    is_ours = claims.get("token_use") == "access" and bool(client_id) and claims.get("client_id") == client_id
    if not isinstance(sub, str) or not sub or not is_ours:
        raise make_unauthenticated_refusal(NOT_OURS)
    return Caller(sub, _read_groups(claims.get("cognito:groups", ())))


def _read_groups(value: Any) -> frozenset[str]:
    # A list in the token, which API Gateway passes on as "a,b" (REST) or "[a b]" (HTTP). Anything else names no group.
    if isinstance(value, str):
        value = value.strip("[]").replace(",", " ").split()
    names = value if isinstance(value, list | tuple) else ()
    return frozenset(name for name in names if isinstance(name, str))


def make_unauthenticated_refusal(fault: TokenFault | None = None) -> Refusal:
    """Return the refusal of a call without a token, or with one that has a fault (RFC 6750, 3)."""
    if fault is None:
        return Refusal("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    challenge = f'Bearer error="invalid_token", error_description="{fault.description}"'
    detail = f"{fault.description}. {fault.advice}"
    return Refusal("unauthenticated", detail=detail, headers={"WWW-Authenticate": challenge})
