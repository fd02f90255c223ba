"""The options of an operation: what it takes, returns, permits and costs. The API's description is built from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Required, TypedDict

from pydantic import BaseModel, ConfigDict

from shared.api.auth.caller import Caller, Group, SignInRule
from shared.api.call import Call
from shared.api.responses import Answer
from shared.fields import RequestModel

KeyRule = Literal["required", "optional", "none"]
LimitRule = str | Callable[[Caller | None], str] | None
# Returns the fields of an answer that expire, made from the facts stored with the answer.
ExpiringPart = Callable[[Call[Any, Any], Mapping[str, Any]], BaseModel]


class NoInput(RequestModel):
    """No input: an empty body, an empty object, or no query."""


class IgnoredQuery(NoInput):
    """No input, whatever the query contains: monitors and proxies add parameters of their own to bypass caches."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation and its options."""

    method: str
    resource: str
    run: Callable[[Call[Any, Any]], Answer]
    summary: str
    answer: type[BaseModel] | None
    operation_id: str = ""  # its name in the API's description, such as claims.create: the tag, then the verb
    input: type[BaseModel] = NoInput
    status: int = 200
    also_status: tuple[int, ...] = ()  # other statuses with the same answer
    access: frozenset[Group] | None = None  # groups that may call it; None: anyone
    access_note: str = ""  # who of them may do what, as a sentence, if it depends on the input
    sign_in: SignInRule = "required"
    limit: LimitRule = None
    key: KeyRule = "optional"
    if_match: bool = False
    refusals: tuple[str, ...] = ()
    media_type: str = "application/json"
    # Called for each answer, so that a replay a day later has valid fields. They follow the other fields, which are
    # replayed byte for byte.
    make_expiring_part: ExpiringPart | None = None
    # Whether the answer is stored under its key before it is given. Otherwise a repeat is answered from the key's row
    # in the database, so the handler must make its answer only from what `run_once` returns, and have no other effect.
    stores_answer: bool = False

    @property
    def is_write(self) -> bool:
        """Return whether the operation writes."""
        return self.key != "none"

    def is_open_to(self, caller: Caller | None) -> bool:
        """Return whether the token's groups permit the operation to the caller."""
        return caller is None or self.access is None or bool(caller.groups & self.access)


class OperationOptions(TypedDict, total=False):
    """The keyword arguments that describe an operation; see Operation."""

    summary: Required[str]
    answer: Required[type[BaseModel] | None]
    operation_id: str
    input: type[BaseModel]
    status: int
    also_status: tuple[int, ...]
    access: frozenset[Group] | None
    access_note: str
    sign_in: SignInRule
    limit: LimitRule
    key: KeyRule
    if_match: bool
    refusals: tuple[str, ...]
    media_type: str
    make_expiring_part: ExpiringPart
    stores_answer: bool
