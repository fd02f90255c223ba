"""W3C's trace context: which `traceparent` is taken from a caller, and what each hop makes of it."""

import json
import string
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.outbox.payload import continue_trace, format_origin
from shared.tracing import (
    LONGEST_TRACEPARENT,
    SpanContext,
    begin_trace,
    get_trace,
    parse_traceparent,
    use_trace,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


def _hex(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=length, max_size=length)


TRACE_IDS = _hex(32).filter(lambda value: value != "0" * 32)
SPAN_IDS = _hex(16).filter(lambda value: value != "0" * 16)


@given(TRACE_IDS, SPAN_IDS, _hex(2))
def test_a_field_of_version_00_is_read(trace_id: str, span_id: str, flags: str) -> None:
    """Of the flags only `sampled` has a meaning."""
    found = parse_traceparent(f"00-{trace_id}-{span_id}-{flags}")
    assert found == SpanContext(trace_id, span_id, sampled=int(flags, 16) % 2 == 1)


@given(trace_id=TRACE_IDS, span_id=SPAN_IDS, sampled=st.booleans())
def test_what_is_written_is_read_as_the_same(trace_id: str, span_id: str, *, sampled: bool) -> None:
    """All that a hop passes on arrives at the next one."""
    span = SpanContext(trace_id, span_id, sampled)
    assert parse_traceparent(span.format_traceparent()) == span


@given(st.integers(1, 0xFE), st.text(string.ascii_letters + string.digits + "-", max_size=20))
def test_a_later_version_is_read_as_far_as_it_is_known(version: int, added: str) -> None:
    """It may add fields at the end, after a dash; what is passed on is of version 00."""
    found = parse_traceparent(f"{version:02x}-{TRACE}-{SPAN}-01-{added}")
    assert found is not None
    assert found.format_traceparent() == VALID
    assert parse_traceparent(f"{version:02x}-{TRACE}-{SPAN}-01") == found


@pytest.mark.parametrize(
    "field",
    [
        "",
        VALID.upper(),
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f" {VALID}",
        f"{VALID}\n",
        f"{VALID}-",
        f"{VALID}-00",
        f"{VALID}, {VALID}",  # sent twice
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-٠١",
        f"01-{TRACE}-{SPAN}-01x",
        f"01-{TRACE}-{SPAN}-01-\n",
        f"01-{TRACE}-{SPAN}-01-{'x' * LONGEST_TRACEPARENT}",
    ],
)
def test_an_invalid_field_is_ignored(field: str) -> None:
    """The request begins a trace of its own then."""
    assert parse_traceparent(field) is None
    assert begin_trace(str(uuid4()), field).parent_span_id is None


@given(st.text(max_size=70))
def test_any_other_text_is_ignored(field: str) -> None:
    """Whatever a caller sends, nothing is raised."""
    assume(len(field) != len(VALID))
    assert parse_traceparent(field) is None


@given(st.integers(0, len(VALID) - 1), st.sampled_from("ABCDEFGgx ._:/") | st.characters())
def test_one_wrong_character_makes_a_field_invalid(place: int, character: str) -> None:
    """The exception is a changed digit, which makes another valid field."""
    assume(character not in "0123456789abcdef-")
    assert parse_traceparent(VALID[:place] + character + VALID[place + 1 :]) is None


def test_a_request_without_a_trace_begins_one_by_its_own_id() -> None:
    """So the id that the client got finds the trace as well."""
    request_id = str(uuid4())
    trace = begin_trace(request_id)
    assert trace.span.trace_id == UUID(request_id).hex
    assert (trace.request_id, trace.parent_span_id, trace.span.sampled) == (request_id, None, False)
    assert parse_traceparent(trace.span.format_traceparent()) == trace.span


@pytest.mark.parametrize("request_id", ["request-1", "", str(UUID(int=0))])
def test_an_id_that_is_no_trace_id_begins_a_random_trace(request_id: str) -> None:
    """It is another one each time."""
    found = {begin_trace(request_id).span.trace_id for _ in range(3)}
    assert len(found) == 3
    assert all(parse_traceparent(f"00-{trace_id}-{SPAN}-00") for trace_id in found)


def test_each_hop_has_a_span_of_its_own_below_the_callers() -> None:
    """The span is in the same trace and carries the caller's decision to keep it."""
    first, second = (begin_trace(str(uuid4()), VALID) for _ in range(2))
    assert first.span.trace_id == second.span.trace_id == TRACE
    assert first.parent_span_id == second.parent_span_id == SPAN
    assert len({first.span.span_id, second.span.span_id, SPAN}) == 3
    assert first.span.sampled


def test_a_job_continues_the_trace_of_what_wrote_it() -> None:
    """The origin that is stored with the job names the trace."""
    job_id, request = uuid4(), begin_trace(str(uuid4()), VALID)
    with use_trace(request):
        origin = format_origin()
    run = continue_trace({"origin": json.loads(origin)}, job_id=job_id)
    assert run.request_id == request.request_id
    assert run.span.trace_id == TRACE
    assert run.parent_span_id == request.span.span_id
    assert run.span.span_id != request.span.span_id


@pytest.mark.parametrize("payload", [{}, {"origin": {}}, {"origin": None}])
def test_a_job_without_an_origin_begins_a_trace(payload: dict[str, object]) -> None:
    """One that was written before origins were, or by no request; its own id names it."""
    job_id = uuid4()
    run = continue_trace(payload, job_id=job_id)
    assert (run.request_id, run.span.trace_id) == (str(job_id), job_id.hex)


def test_the_current_trace_ends_with_its_block() -> None:
    """The next request of the environment does not continue it."""
    assert (get_trace(), format_origin()) == (None, "{}")
    with use_trace(begin_trace("outer")), use_trace(begin_trace("inner")):
        found = get_trace()
    assert found is not None
    assert found.request_id == "inner"
    assert get_trace() is None
