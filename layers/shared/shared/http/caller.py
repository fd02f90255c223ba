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


def caller_of(claims: Mapping[str, Any]) -> Caller:
    """The caller that verified claims name. Raises Refusal("unauthenticated") where they name none."""
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub or claims.get("token_use", "access") != "access":
        raise Refusal("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    return Caller(sub, _groups(claims.get("cognito:groups", ())))


def _groups(value: Any) -> frozenset[str]:
    # A list in the token; API Gateway hands it on as "a,b" (REST) or "[a b]" (HTTP).
    if isinstance(value, str):
        value = value.strip("[]").replace(",", " ").split()
    return frozenset(str(group) for group in value)
