"""The roles that a caller's account must have, checked in the transaction that does the work.

A token lists the groups that its identity was in when it was issued, up to an hour ago. So a role counts only if both
the token and the account have it, and removing the account's role ends all access immediately.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from shared.api.auth.caller import ADMIN, STAFF, Caller, Group
from shared.database.transaction import Pending, Transaction
from shared.sql import load_queries

SQL = load_queries("shared.api.auth", "access.sql")

ID = "_id"


@dataclass(frozen=True, slots=True)
class AccessRequirement:
    """The caller, the roles of which their account must have one, and the record that the path names, if any."""

    sub: str
    roles: frozenset[str]
    kind: str | None = None
    record: UUID | None = None

    def require(self, tx: Transaction) -> None:
        """Add the statement that stops the transaction if the caller may not pass. Refusals: forbidden, not-found."""
        tx.add(SQL["authorize"], sub=self.sub, roles=sorted(self.roles), kind=self.kind, record=self.record)


def build_access_requirement(
    ids: Mapping[str, UUID], caller: Caller, allowed_groups: frozenset[Group] | None
) -> AccessRequirement:
    """Return the requirement of an operation that these groups may call (None: everyone signed in).

    A caller whose token has none of the groups never meets it.
    """
    roles = list_account_roles(caller, allowed_groups)
    name = next((name for name in ids if name.endswith(ID)), None)
    if name is None:
        return AccessRequirement(caller.sub, roles)
    return AccessRequirement(caller.sub, roles, name.removesuffix(ID), ids[name])


def list_account_roles(caller: Caller, allowed_groups: frozenset[Group] | None) -> frozenset[str]:
    """Return the account roles that permit an operation: only staff's, if the token's groups permit it to staff."""
    if allowed_groups is None:
        return caller.groups | (STAFF if caller.is_staff else frozenset())
    groups = caller.groups & allowed_groups
    if groups & STAFF:
        return ADMIN if allowed_groups & STAFF == ADMIN else STAFF
    return groups


def read_role(tx: Transaction, sub: str) -> Pending[str | None]:
    """Return the role of an identity's account, None if it has no account."""
    return tx.fetch_one(SQL["role"], sub=sub).map(lambda row: str(row["role"]) if row else None)
