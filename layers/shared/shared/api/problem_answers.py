"""The only place where functions turn errors into HTTP answers: problem details (RFC 9457) of the catalogue's words."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.admission.ports import StoredAnswer
from shared.api.problems import (
    CATALOGUE,
    MAX_ERRORS,
    MAX_POINTER_LENGTH,
    MEDIA_TYPE,
    URN,
    find_page,
)
from shared.errors import DependencyFailed, Refusal, Unavailable
from shared.logging import count_version_failure, describe_failure, logger

# If parsing refuses a request with one of these statuses, the request counts against the rate limit `invalid-request`,
# not against the operation's own (docs/decisions/0019).
INVALID_REQUEST_STATUSES = frozenset({400, 413, 415, 422, 428})


def build_problem_answer(error: BaseException, instance: str, *, base_path: str) -> StoredAnswer:
    """Return the HTTP answer to a request that ended with an error, and log the error if it is a server error.

    `instance` is the request's id; `base_path` is the path under which the API was called.
    """
    problem = describe_problem(error, instance)
    if problem.status >= 500:
        # Unavailable has `what`, DependencyFailed has `code`.
        what = getattr(error, "what", None) or getattr(error, "code", None)
        logger.error("request_failed", extra={"request_id": instance, "what": what, **describe_failure(error)})
        count_version_failure()
    links = [_format_link(base_path, problem.page, "describedby")]
    if problem.subject_page:
        links.append(_format_link(base_path, problem.subject_page, "help"))
    headers = {"Content-Type": MEDIA_TYPE, "Link": ", ".join(links), **problem.headers}
    return StoredAnswer(problem.status, headers, json.dumps(problem.body, ensure_ascii=False))


def _format_link(base_path: str, page: str, relation: str) -> str:
    return f'<{base_path}{page}>; rel="{relation}"; type="text/html"'


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """The parts of an answer to an error; the paths of its pages are relative to the API's base path."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    page: str
    subject_page: str = ""


def describe_problem(error: BaseException, instance: str) -> ProblemDetails:
    """Return the problem details of an error.

    An unknown error, or a Refusal whose name is not in the catalogue, becomes `internal` and reveals nothing.
    """
    refusal = _convert_to_refusal(error)
    kind = CATALOGUE[refusal.name]
    body: dict[str, Any] = {
        "type": URN + refusal.name,
        "title": kind.title,
        "status": kind.status,
        "detail": (refusal.detail or kind.detail) + _describe_unlisted(refusal),
        "instance": instance,
    }
    if refusal.errors:
        body["errors"] = [{"pointer": _shorten(e.pointer), "detail": e.detail} for e in refusal.errors[:MAX_ERRORS]]
    return ProblemDetails(kind.status, refusal.headers, body, find_page(refusal.name), kind.docs_path)


def _describe_unlisted(refusal: Refusal) -> str:
    more = len(refusal.errors) - MAX_ERRORS
    return f" {more} more errors are not listed." if more > 0 else ""


def _shorten(pointer: str) -> str:
    return pointer if len(pointer) <= MAX_POINTER_LENGTH else pointer[: MAX_POINTER_LENGTH - 1] + "…"


def _convert_to_refusal(error: BaseException) -> Refusal:
    if isinstance(error, Refusal) and error.name in CATALOGUE:
        return error
    if isinstance(error, Unavailable):
        return Refusal("unavailable", headers={"Retry-After": format_retry_after(error.retry_after_s)})
    if isinstance(error, DependencyFailed):
        return Refusal("unavailable", headers={"Retry-After": format_retry_after(1)})
    return Refusal("internal")


def format_retry_after(seconds: float) -> str:
    """Return whole seconds, rounded up, so that a client who waits for them is never too early."""
    return str(max(1, math.ceil(seconds)))


def is_invalid_request(refusal: Refusal) -> bool:
    """Return whether a refusal by the parsing of a request counts against the rate limit `invalid-request`."""
    return refusal.name in CATALOGUE and CATALOGUE[refusal.name].status in INVALID_REQUEST_STATUSES
