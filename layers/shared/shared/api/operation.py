"""The contract of an operation: what it takes, answers, allows and costs. The API's description is made from these."""

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
# Makes the fields of an answer that expire, from the facts kept with it.
ExpiringPart = Callable[[Call[Any, Any], Mapping[str, Any]], BaseModel]


class NoInput(RequestModel):
    """No input: an empty body, an empty object, or no query."""


class IgnoredQuery(NoInput):
    """No input, whatever parameters there are: monitors and proxies add some of their own to keep caches away."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation's contract."""

    method: str
    resource: str
    run: Callable[[Call[Any, Any]], Answer]
    summary: str
    answer: type[BaseModel] | None
    input: type[BaseModel] = NoInput
    status: int = 200
    also_status: tuple[int, ...] = ()  # further statuses that carry the same answer
    access: frozenset[Group] | None = None  # whose groups may; None: anyone
    sign_in: SignInRule = "required"
    limit: LimitRule = None
    key: KeyRule = "optional"
    if_match: bool = False
    refusals: tuple[str, ...] = ()
    media_type: str = "application/json"
    # Called anew at each answering, so that a replay a day later has fields that are valid. They follow the others,
    # which are replayed byte for byte.
    make_expiring_part: ExpiringPart | None = None

    @property
    def is_write(self) -> bool:
        """Whether it writes."""
        return self.key != "none"

    def is_open_to(self, caller: Caller | None) -> bool:
        """Return whether the caller may, as far as their token says."""
        return caller is None or self.access is None or bool(caller.groups & self.access)


class OperationOptions(TypedDict, total=False):
    """The keywords that describe an operation; see Operation."""

    summary: Required[str]
    answer: Required[type[BaseModel] | None]
    input: type[BaseModel]
    status: int
    also_status: tuple[int, ...]
    access: frozenset[Group] | None
    sign_in: SignInRule
    limit: LimitRule
    key: KeyRule
    if_match: bool
    refusals: tuple[str, ...]
    media_type: str
    make_expiring_part: ExpiringPart
