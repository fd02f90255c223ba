"""Identities in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from shared.aws.errors import AwsError, OperatorActionNeeded, RequestRejected

GROUPS = frozenset({"member", "agent", "staff", "admin"})


@dataclass
class FakeIdentity:
    """An identity as a pool keeps it."""

    sub: str = field(default_factory=lambda: str(uuid4()))
    status: str = "FORCE_CHANGE_PASSWORD"
    password: str | None = None
    groups: set[str] = field(default_factory=set)
    enabled: bool = True
    signed_out: int = 0


class FakeIdentityProvider:
    """A user pool; `fails` is raised by the next calls, one each."""

    def __init__(self) -> None:
        self.people: dict[str, FakeIdentity] = {}
        self.fails: list[AwsError] = []

    def find(self, email: str) -> str | None:
        person = self.people.get(email)
        return person.sub if person else None

    def find_or_create(self, email: str) -> str:
        if self.fails:
            raise self.fails.pop(0)
        person = self.people.setdefault(email, FakeIdentity())
        if person.status == "UNCONFIRMED":
            raise RequestRejected("IdentityNotOurs")
        if person.status == "FORCE_CHANGE_PASSWORD":
            person.status, person.password = "CONFIRMED", str(uuid4())
        return person.sub

    def add_to_group(self, sub: str, group: str) -> None:
        if self.fails:
            raise self.fails.pop(0)
        if group not in GROUPS:
            raise OperatorActionNeeded("ResourceNotFoundException")
        self._find_by_sub(sub).groups.add(group)

    def enable(self, sub: str) -> None:
        self._find_by_sub(sub).enabled = True

    def end_access(self, sub: str, groups: Sequence[str]) -> None:
        if self.fails:
            raise self.fails.pop(0)
        for person in self.people.values():
            if person.sub == sub:
                person.groups -= set(groups)
                person.enabled = False
                person.signed_out += 1

    def delete(self, sub: str) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.people = {email: person for email, person in self.people.items() if person.sub != sub}

    def _find_by_sub(self, sub: str) -> FakeIdentity:
        for person in self.people.values():
            if person.sub == sub:
                return person
        raise RequestRejected("UserNotFoundException")
