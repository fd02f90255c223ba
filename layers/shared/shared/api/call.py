"""Requests, and the calls made from them, which handlers receive."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Concatenate, Generic, ParamSpec
from uuid import UUID

from pydantic import BaseModel
from typing_extensions import TypeVar

from shared.access import AccessScope
from shared.admission.ports import KeyUse
from shared.api.auth.access import AccessRequirement, build_access_requirement
from shared.api.auth.caller import Caller, Group
from shared.api.responses import Answer, make_answer
from shared.api.services import Services
from shared.clock import read_monotonic
from shared.database.transaction import Committed, Pending, Row, Transaction
from shared.deadline import Deadline
from shared.errors import Refusal
from shared.fields.pagination import PageQuery
from shared.outbox.audit import Actor
from shared.outbox.waking import RelayWaking
from shared.tracing import Trace

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the input's type
Q = TypeVar("Q", bound=PageQuery)
S = TypeVar("S", bound=Services, covariant=True, default=Services)
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A client's request, with its source address and the time left to answer it."""

    method: str
    resource: str
    base_path: str  # path in front of the resource: /api, or that of a custom domain
    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes | None  # None if the event's base64 is broken
    source_ip: str
    trace: Trace
    gateway_id: str | None  # the gateway's own id, to find its logs
    claims: Mapping[str, Any] | None
    deadline: Deadline

    @property
    def request_id(self) -> str:
        """Return the id of the request, which was generated here: a client can choose the gateway's."""
        return self.trace.request_id


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The versions of a record for which a change was decided.

    `versions` are those that the listed tags name, or None for any (`*`); a tag in another format names none.
    `canonical` is the same for every spelling of the field. `is_weak` is true if a weak tag was listed, which never
    matches.
    """

    versions: tuple[int, ...] | None
    canonical: str
    is_weak: bool = False


@dataclass(slots=True)
class Call(Generic[I, S]):
    """One call of an operation, parsed and allowed; a handler maps it to a use case.

    A handler that needs more than the API's own services names their type: `Call[NewDocument, ClaimsServices]`.
    """

    input: I
    ids: Mapping[str, UUID]
    caller: Caller | None
    allowed_groups: frozenset[Group] | None  # groups that may make this call; None: everyone
    principal: str  # the client that limits count: the account, or else the hashed address
    if_match: IfMatch | None
    request: ApiRequest
    use: KeyUse
    services: S
    after_commit: set[str] = field(default_factory=set)
    first_used_at: datetime | None = None  # when the key was first used, if the answer repeats that use's
    committed: Committed[Row] | None = None  # the transaction of the call's key, by this call or an earlier one
    holder: str | None = None  # the token in the key's record, if the relay is to keep the answer there
    lost_staff_role: bool = False  # the token has a role of staff that the account no longer has
    _waking: RelayWaking | None = None

    @property
    def replayed(self) -> bool:
        """Return whether the answer repeats that of an earlier use of the key."""
        return self.first_used_at is not None

    @property
    def versions(self) -> list[int] | None:
        """Return the versions for which the change was decided, for the SQL's require_version; None for any."""
        if self.if_match is None:
            raise AssertionError("the operation takes no If-Match")
        return None if self.if_match.versions is None else list(self.if_match.versions)

    @property
    def sub(self) -> str:
        """Return the caller's identity. Raise Refusal("unauthenticated") if there is no caller."""
        if self.caller is None:
            raise Refusal("unauthenticated")
        return self.caller.sub

    @property
    def is_by_staff(self) -> bool:
        """Return whether the caller's token is of staff; every transaction checks the account's role as well."""
        return self.caller is not None and self.caller.is_staff

    @property
    def scope(self) -> AccessScope:
        """Return the records that the caller may see. Raise Refusal("unauthenticated") if there is no caller."""
        return AccessScope(self.sub, self.is_by_staff, self.is_by_staff and self.is_in_group("admin"))

    @property
    def access(self) -> AccessRequirement | None:
        """Return what every transaction requires of the caller's account; None for anonymous callers."""
        return build_access_requirement(self.ids, self.caller, self.allowed_groups) if self.caller else None

    def is_in_group(self, group: Group) -> bool:
        """Return whether the caller is in a group."""
        return self.caller is not None and group in self.caller.groups

    @property
    def actor(self) -> Actor:
        """Return the person who acts, for the audit."""
        return Actor(self.caller.sub if self.caller else None, self.request.request_id)

    def require_access(self) -> None:
        """Check only the caller's account, for an answer that no transaction gives.

        Raise Refusal: forbidden, not-found.
        """
        self.read(_read_nothing)

    def read(self, use_case: Callable[Concatenate[Transaction, P], Pending[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a use case reads. It receives an open transaction, followed by the arguments given here."""

        def run_checked(tx: Transaction) -> Pending[T]:
            self._add_access_check(tx)
            return use_case(tx, *args, **kwargs)

        return self.services.database.run(run_checked, self.request.deadline).value

    def run_once(
        self, use_case: Callable[Concatenate[Transaction, P], Pending[Row]], *args: P.args, **kwargs: P.kwargs
    ) -> Row:
        """Run a use case that writes, once for this call's key however often it is repeated; return its facts.

        If an earlier run is known (`find_committed`, `note_committed`), return its facts instead.
        """

        def run_use_case(tx: Transaction) -> Pending[Row]:
            pending = use_case(tx, *args, **kwargs)
            self.waking.begin(tx.jobs, is_answer_kept=self.holder is not None)
            return pending

        committed = self.committed or self.services.database.run_once(
            self.use, run_use_case, self.request.deadline, guard=self._add_access_check, holder=self.holder
        )
        self.note_committed(committed)
        return committed.value

    @property
    def waking(self) -> RelayWaking:
        """Return the wake-ups of the relay for this call's jobs."""
        if self._waking is None:
            self._waking = RelayWaking(self.services.wake_relay_soon, read_monotonic)
        return self._waking

    def find_committed(self) -> bool:
        """Return whether an earlier call with this key has committed; `run_once` then answers with its facts."""
        found = self.services.database.find_committed(self.use, self.request.deadline, guard=self._add_access_check)
        if found is not None:
            self.note_committed(found)
        return found is not None

    def note_committed(self, committed: Committed[Row]) -> None:
        """Note the transaction that the call's key has committed; `run_once` then answers with its facts."""
        self.committed = committed
        self.after_commit |= committed.after_commit
        self.first_used_at = self.first_used_at or committed.first_used_at

    def _add_access_check(self, tx: Transaction) -> None:
        if self.access is not None:
            self.access.require(tx)


def list_page(
    call: Call[Q, S],
    listing: str,
    view: type[BaseModel],
    use_case: Callable[Concatenate[Transaction, UUID, int, P], Pending[list[Row]]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Answer:
    """Return a page of what a use case lists.

    The use case receives an open transaction, the id after which the page begins, the number of rows to read (one more
    than the page shows), and the arguments given here.
    """
    cursors, query = call.services.cursors, call.input
    rows = call.read(use_case, cursors.read(listing, query.cursor), query.limit + 1, *args, **kwargs)
    return make_answer(cursors.build_page(listing, rows, query.limit, view.model_validate))


def _read_nothing(_tx: Transaction) -> Pending[None]:
    return Pending(lambda: None)
