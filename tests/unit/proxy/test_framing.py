"""Messages of the wire protocol come out as they went in, however the network has cut them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.database_proxy import framing
from local.database_proxy.framing import MessageReader, ProtocolError, ProtocolMessage

messages = st.lists(st.tuples(st.sampled_from([b"P", b"B", b"S", b"Z", b"D"]), st.binary(max_size=40)), max_size=8)


@given(messages, st.lists(st.integers(0, 400), max_size=12))
def test_messages_are_whole_wherever_the_stream_is_cut(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    """They come in order, each once, and nothing is kept back at the end."""
    stream = b"".join(framing.build_message(kind, body) for kind, body in sent)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    framer = MessageReader()
    found = [message for start, end in pairwise(edges) for message in framer.feed(stream[start:end])]
    assert [(message.kind, message.body) for message in found] == sent
    assert b"".join(message.raw for message in found) == stream


@pytest.mark.parametrize("length", [0, 3, 1 << 31])
def test_what_is_no_message_is_refused(length: int) -> None:
    """A length that can't be one."""
    with pytest.raises(ProtocolError):
        MessageReader().feed(b"Q" + length.to_bytes(4, "big"))


def test_packets_of_the_start_are_taken_one_by_one() -> None:
    """The question for TLS, then who it is; a piece too few is waited for."""
    question = (8).to_bytes(4, "big") + framing.SSL_REQUEST.to_bytes(4, "big")
    stream = question + framing.build_startup({"user": "besa", "database": "claims"}) + b"rest"
    first, rest = framing.take_startup(stream)
    assert (first, framing.take_startup(rest[:20])) == ((framing.SSL_REQUEST, b""), (None, rest[:20]))
    second, rest = framing.take_startup(rest)
    assert second is not None
    assert (second.code, framing.read_parameters(second.body)) == (
        framing.PROTOCOL_3_0,
        {"user": "besa", "database": "claims"},
    )
    assert rest == b"rest"


@pytest.mark.parametrize("length", [0, 7, framing.LONGEST_STARTUP + 1])
def test_a_start_that_is_no_packet_is_refused(length: int) -> None:
    """PostgreSQL refuses it as well."""
    with pytest.raises(ProtocolError):
        framing.take_startup(length.to_bytes(4, "big") + bytes(20))


def test_an_error_says_its_state_and_its_message() -> None:
    """Each is known by its letter."""
    (error,) = MessageReader().feed(framing.build_fatal_error("08000", "no connection"))
    assert framing.read_fields(error.body) == {"S": "FATAL", "V": "FATAL", "C": "08000", "M": "no connection"}


def test_a_value_may_be_empty() -> None:
    """The value of application_name is, for example."""
    (status,) = MessageReader().feed(framing.build_parameter_status("application_name", ""))
    assert (status, framing.read_parameters(status.body)) == (
        ProtocolMessage(b"S", status.raw),
        {"application_name": ""},
    )
