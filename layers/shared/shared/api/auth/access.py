"""The roles that a caller's account must have, asked of the database in the transaction that does the work.

A token says which groups its identity was in when it was issued, up to an hour ago. So a role is what the token and the
account both say, and to take the account's role away ends all access at once.
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
        """Queue the statement that stops the transaction for everybody else. Refuses: forbidden, not-found."""
        tx.add(SQL["authorize"], sub=self.sub, roles=sorted(self.roles), kind=self.kind, record=self.record)


def build_access_requirement(
    ids: Mapping[str, UUID], caller: Caller, allowed_groups: frozenset[Group] | None
) -> AccessRequirement:
    """Return what is required of a caller, where the operation is open to these groups (None: to everyone signed in).

    Nobody passes where the token's own groups don't.
    """
    roles = list_account_roles(caller, allowed_groups)
    name = next((name for name in ids if name.endswith(ID)), None)
    if name is None:
        return AccessRequirement(caller.sub, roles)
    return AccessRequirement(caller.sub, roles, name.removesuffix(ID), ids[name])


def list_account_roles(caller: Caller, allowed_groups: frozenset[Group] | None) -> frozenset[str]:
    """Return the roles of an account that the token lets act on an operation: as staff, where it is in such a group."""
    if allowed_groups is None:
        return caller.groups | (STAFF if caller.is_staff else frozenset())
    groups = caller.groups & allowed_groups
    if groups & STAFF:
        return ADMIN if allowed_groups & STAFF == ADMIN else STAFF
    return groups


def read_role(tx: Transaction, sub: str) -> Pending[str | None]:
    """Return the role of an identity's account, None where it has none."""
    return tx.fetch_one(SQL["role"], sub=sub).map(lambda row: str(row["role"]) if row else None)
