"""The records that a caller may see and change: staff any, everyone else their own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccessScope:
    """A caller, and whether they act as staff or as an admin, who is staff as well."""

    sub: str
    staff: bool = False
    admin: bool = False

    def restrict_to_owner(self) -> "AccessScope":
        """Return the scope without the rights of staff: what only an owner may do, staff don't do in their place."""
        return AccessScope(self.sub)

    @property
    def params(self) -> dict[str, object]:
        """The parameters of a statement that takes a record if the caller may see it."""
        return {"sub": self.sub, "staff": self.staff}
