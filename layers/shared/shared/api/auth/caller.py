"""Who calls: the token's claims, as API Gateway verified them, checked again for what we rely on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import Refusal

Group = Literal["member", "agent", "staff", "admin"]
Verifier = Callable[[str], Mapping[str, Any]]

MEMBER: frozenset[Group] = frozenset({"member"})
AGENT: frozenset[Group] = frozenset({"agent"})
STAFF: frozenset[Group] = frozenset({"staff", "admin"})
ADMIN: frozenset[Group] = frozenset({"admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity: its `sub` and the groups it is in."""

    sub: str
    groups: frozenset[str]

    @property
    def is_staff(self) -> bool:
        """Whether it may do what staff may."""
        return bool(self.groups & STAFF)


def caller_of(claims: Mapping[str, Any], client_id: str) -> Caller:
    """Return the caller whom verified claims name.

    Raises Refusal("unauthenticated") where they name none, or are not of an access token of this app client: API
    Gateway's authorizer takes the tokens of every client of the pool.
    """
    sub = claims.get("sub")
    is_ours = claims.get("token_use") == "access" and bool(client_id) and claims.get("client_id") == client_id
    if not isinstance(sub, str) or not sub or not is_ours:
        raise Refusal("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    return Caller(sub, _groups(claims.get("cognito:groups", ())))


def _groups(value: Any) -> frozenset[str]:
    # A list in the token; API Gateway hands it on as "a,b" (REST) or "[a b]" (HTTP). Anything else names no group.
    if isinstance(value, str):
        value = value.strip("[]").replace(",", " ").split()
    names = value if isinstance(value, list | tuple) else ()
    return frozenset(name for name in names if isinstance(name, str))
