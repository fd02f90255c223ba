"""The exceptions of the service; api/problems.py maps them to HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass


class ServiceError(Exception):
    """The base of all exceptions that the service raises deliberately."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error of one field; `pointer` is an RFC 6901 JSON pointer, or names a parameter or header."""

    pointer: str
    detail: str


class Refusal(ServiceError):
    """A request that the rules reject, with the name of the problem that the client gets."""

    def __init__(
        self,
        name: str,
        *,
        detail: str | None = None,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name)
        self.name = name
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


class Unavailable(ServiceError):
    """Something that the request needs can't be reached at present; nothing is known to have been done."""

    def __init__(self, what: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after_s = retry_after_s


class DependencyFailed(ServiceError):
    """A called service did not do what was asked; `code` is its own name for the reason, never personal data."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class DeadlineExceeded(Unavailable):
    """The request's time is used up; nothing more was begun."""
