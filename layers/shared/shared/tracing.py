"""The trace of the present work: the request that caused it, and its place in W3C's trace context.

A trace context (https://www.w3.org/TR/trace-context/) names a trace, which all hops share, and the hop's span. A caller
sends its own in the field `traceparent`; each hop takes a span of its own and passes that on. No spans are recorded:
log lines name them. Statements that write jobs find the trace in the context: see `use_trace` and `get_trace`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

# Lower case alone. Version ff, and ids of zeros only, are invalid; a version after 00 may add fields at the end.
_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})"
    r"-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span_id>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<added>-[!-~]*)?"
)
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_VERSION = "00"
_SAMPLED = 1  # the only flag of version 00; others must not be passed on
LONGEST_TRACEPARENT = 255  # characters; later versions may be longer than the 55 of version 00


@dataclass(frozen=True, slots=True)
class SpanContext:
    """A span of a trace, as a `traceparent` names it; `sampled` says whether its recorder keeps the trace."""

    trace_id: str
    span_id: str
    sampled: bool = False

    def format_traceparent(self) -> str:
        """Return the span as the value of a `traceparent` field."""
        return f"{_VERSION}-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of one hop: the id of the request that caused it, its own span, and the span that called it, if any."""

    request_id: str
    span: SpanContext
    parent_span_id: str | None = None

    @property
    def log_fields(self) -> Mapping[str, str | None]:
        """Return the fields that a log line names the trace by."""
        return {
            "request_id": self.request_id,
            "trace_id": self.span.trace_id,
            "span_id": self.span.span_id,
            "parent_span_id": self.parent_span_id,
        }


def parse_traceparent(field: str) -> SpanContext | None:
    """Return the span that a `traceparent` field names; None if it is not valid, so that a new trace begins."""
    found = _TRACEPARENT.fullmatch(field) if len(field) <= LONGEST_TRACEPARENT else None
    if found is None or (found["version"] == _VERSION and found["added"] is not None):
        return None
    return SpanContext(found["trace_id"], found["span_id"], bool(int(found["flags"], 16) & _SAMPLED))


def begin_trace(request_id: str, traceparent: str | None = None) -> Trace:
    """Return the trace of a new hop: the caller's if `traceparent` is valid, or else a new one.

    The id of a new trace is the request's id without its dashes if that is a UUID, so that either finds both.
    """
    parent = parse_traceparent(traceparent) if traceparent is not None else None
    span_id = _make_span_id()
    if parent is not None:
        return Trace(request_id, SpanContext(parent.trace_id, span_id, parent.sampled), parent.span_id)
    plain = request_id.replace("-", "").lower()
    trace_id = plain if _TRACE_ID.fullmatch(plain) else os.urandom(16).hex()
    return Trace(request_id, SpanContext(trace_id, span_id))


def _make_span_id() -> str:
    return f"{int.from_bytes(os.urandom(8), 'big') or 1:016x}"


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


@contextmanager
def use_trace(trace: Trace) -> Iterator[None]:
    """Make this trace the current one within the block."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def get_trace() -> Trace | None:
    """Return the current trace; None if there is none."""
    return _current.get()
