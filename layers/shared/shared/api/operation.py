"""One operation of the API: what it takes, answers, allows and costs. The API's description is made from these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from functools import partial
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.admission.ports import KeyUse
from shared.api.auth.access import Access, access_to, read_role
from shared.api.auth.caller import STAFF, Caller, Group
from shared.api.body import parse, read_json, well_formed
from shared.api.if_match import IfMatch, read_if_match
from shared.api.pages import PageQuery
from shared.api.request import Request
from shared.container import Wiring
from shared.database.pipeline import Landed, UseCase
from shared.database.transaction import Pending, Row, Transaction
from shared.errors import FieldError, Refusal
from shared.fields import Input
from shared.outbox import Actor

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - the input's type
Q = TypeVar("Q", bound=PageQuery)
T = TypeVar("T")

KeyRule = Literal["required", "optional", "none"]
SignInRule = Literal["required", "optional", "none"]
LimitRule = str | Callable[[Caller | None], str] | None


class Nothing(Input):
    """No input: an empty body, an empty object, or no query."""


class AnyQuery(Nothing):
    """No input, whatever parameters there are: monitors and proxies add some of their own to keep caches away."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class Answer:
    """An operation's answer: a view, or raw content with a type of its own; `location` is a path within the API."""

    status: int
    view: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | None = None
    location: str | None = None
    facts: Mapping[str, Any] | None = None  # what Operation.renew makes the part from that expires


def answered(
    view: BaseModel,
    *,
    status: int = 200,
    version: int | None = None,
    location: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Answer:
    """Return an answer with its ETag and Location, where it has them; `facts` where part of it expires."""
    headers = {"ETag": f'"{version}"'} if version is not None else {}
    return Answer(status, view, headers, location=location, facts=facts)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation's contract."""

    method: str
    resource: str
    run: Callable[["Call[Any]"], Answer]
    summary: str
    answer: type[BaseModel] | None
    input: type[BaseModel] = Nothing
    status: int = 200
    also_status: tuple[int, ...] = ()  # further statuses that carry the same answer
    access: frozenset[Group] | None = None  # whose groups may; None: anyone
    sign_in: SignInRule = "required"
    limit: LimitRule = None
    key: KeyRule = "optional"
    if_match: bool = False
    refusals: tuple[str, ...] = ()
    media_type: str = "application/json"
    # Makes the fields of the answer that expire, from the facts kept with it: anew at each answering, so that a replay
    # a day later has fields that are valid. They follow the others, which are replayed byte for byte.
    renew: Callable[["Call[Any]", Mapping[str, Any]], BaseModel] | None = None

    @property
    def changes(self) -> bool:
        """Whether it writes."""
        return self.key != "none"

    def caller(self, request: Request, wiring: Wiring) -> Caller | None:
        """Return who calls, None for nobody known. Raises Refusal("unauthenticated"), Unavailable."""
        if self.sign_in == "none":
            return None
        client_id = wiring.settings.user_pool_client_id
        if self.sign_in == "optional":
            return request.optional_caller(wiring.verify_token, client_id)
        return request.caller(wiring.verify_token, client_id)

    def is_open_to(self, caller: Caller | None) -> bool:
        """Return whether the caller may, as far as their token says."""
        return caller is None or self.access is None or bool(caller.groups & self.access)

    def read_input(self, request: Request, now: datetime) -> tuple[BaseModel, dict[str, Any]]:
        """Return the input's model and what was sent of it, normalised. Raises Refusal naming what is wrong with it."""
        if request.body is None:
            raise Refusal("malformed-request", detail="The body is not the base64 that the event says it is.")
        if self.changes:
            read = parse(self.input, _json_body(request, request.body, optional=self.input is Nothing), now=now)
            return read, read.model_dump(mode="json", exclude_unset=True)
        return _read_query(self.input, request), {}

    def precondition(self, request: Request) -> IfMatch | None:
        """Return what If-Match says, None for an operation without it. Raises Refusal: if-match-required, …"""
        if not self.if_match:
            return None
        field = request.headers.get("if-match")
        if field is None:
            raise Refusal("if-match-required")
        return read_if_match(field)


def _json_body(request: Request, body: bytes, *, optional: bool) -> dict[str, Any]:
    if optional and not body.strip():
        return {}
    if not _is_json(request.headers.get("content-type", "")):
        raise Refusal("unsupported-media-type")
    return read_json(body)


def _is_json(content_type: str) -> bool:
    """Whether it is application/json, in UTF-8 where it names a charset; other parameters mean nothing (RFC 8259)."""
    header = Message()
    header["Content-Type"] = content_type
    (media_type, _), *parameters = header.get_params([("", "")])
    charsets = {str(value).lower() for name, value in parameters if name.lower() == "charset"}
    return media_type.lower() == "application/json" and charsets <= {"utf-8", "utf8"}


def _read_query(model: type[BaseModel], request: Request) -> BaseModel:
    if model is AnyQuery:
        return AnyQuery()
    try:
        return model.model_validate_strings(request.single_query(), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        errors = tuple(FieldError(well_formed(".".join(map(str, e["loc"]))), e["msg"]) for e in found)
        raise Refusal("invalid-request", errors=errors) from None


@dataclass(slots=True)
class Call(Generic[I]):
    """One call of an operation, parsed and allowed; handlers map it onto a use case."""

    operation: Operation
    input: I
    ids: Mapping[str, UUID]
    caller: Caller | None
    principal: str  # whom limits count: the account, else the hashed address
    if_match: IfMatch | None
    request: Request
    use: KeyUse
    wiring: Wiring
    signals: set[str] = field(default_factory=set)
    replayed: bool = False

    @property
    def versions(self) -> list[int] | None:
        """The versions that the change may be decided on, for the SQL's require_version; None: any."""
        if self.if_match is None:
            raise AssertionError("the operation takes no If-Match")
        return None if self.if_match.versions is None else list(self.if_match.versions)

    @property
    def sub(self) -> str:
        """The caller's identity. Raises Refusal("unauthenticated") where there is none."""
        if self.caller is None:
            raise Refusal("unauthenticated")
        return self.caller.sub

    @property
    def by_staff(self) -> bool:
        """Whether the caller acts as staff: the token says so here, and every transaction asks the account as well."""
        return self.caller is not None and self.caller.is_staff

    @property
    def access(self) -> Access | None:
        """Return what every transaction requires of the caller's account; None for nobody known."""
        return access_to(self.ids, self.caller, self.operation.access) if self.caller else None

    def in_group(self, group: Group) -> bool:
        """Whether the caller is in a group."""
        return self.caller is not None and group in self.caller.groups

    @property
    def actor(self) -> Actor:
        """Return the person who acts, for the audit."""
        return Actor(self.caller.sub if self.caller else None, self.request.request_id)

    def require_access(self) -> None:
        """Ask the account alone, where the answer comes from elsewhere. Raises Refusal: forbidden, not-found."""
        self.read(_read_nothing)

    def choose_role(self) -> None:
        """Act as what the account is, where the token opens the operation to its owner as staff and otherwise too."""
        caller, opened_to = self.caller, self.operation.access
        if caller is None or opened_to is None or not caller.is_staff or not caller.groups & (opened_to - STAFF):
            return
        use_case: UseCase[str | None] = partial(read_role, sub=caller.sub)
        if self.wiring.database.run(use_case, self.request.deadline).value not in STAFF:
            self.caller = Caller(caller.sub, caller.groups - STAFF)

    def read(self, use_case: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what a use case reads: it gets an open transaction, then the arguments given here."""

        def guarded(tx: Transaction) -> Pending[Any]:
            self._guard(tx)
            reading: Pending[Any] = use_case(tx, *args, **kwargs)
            return reading

        landed: Landed[Any] = self.wiring.database.run(guarded, self.request.deadline)
        return landed.value

    def once(self, use_case: Callable[..., Any], *args: Any, **kwargs: Any) -> Row:
        """The facts of a use case that writes, done once for this call's key however often it is repeated."""
        bound: UseCase[Row] = partial(_bound, use_case, args, kwargs)
        landed = self.wiring.database.once(self.use, bound, self.request.deadline, guard=self._guard)
        self.signals |= landed.signals
        self.replayed |= landed.replayed
        return landed.value

    def _guard(self, tx: Transaction) -> None:
        if self.access is not None:
            self.access.require(tx)


def page(call: Call[Q], listing: str, view: type[BaseModel], use_case: Callable[..., Any], **kwargs: Any) -> Answer:
    """A page of what a use case lists: it gets `after`, an id, and `count`, one more than is shown."""
    cursors = call.wiring.cursors
    rows = call.read(use_case, after=cursors.read(listing, call.input.cursor), count=call.input.limit + 1, **kwargs)
    return answered(cursors.page(listing, rows, call.input.limit, view.model_validate))


def _read_nothing(_tx: Transaction) -> Pending[None]:
    return Pending(lambda: None)


def _bound(use_case: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], tx: Any) -> Any:
    return use_case(tx, *args, **kwargs)
