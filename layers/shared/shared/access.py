"""The records that a caller may see and change: staff may see any, everyone else only their own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccessScope:
    """A caller, and whether they act as staff or as an admin (who is staff as well)."""

    sub: str
    staff: bool = False
    admin: bool = False

    def restrict_to_owner(self) -> "AccessScope":
        """Return the scope without the rights of staff, for operations that only a record's owner may perform."""
        return AccessScope(self.sub)

    @property
    def params(self) -> dict[str, object]:
        """Return the parameters of statements that select a record only if the caller may see it."""
        return {"sub": self.sub, "staff": self.staff}
