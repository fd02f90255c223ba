"""The messages of PostgreSQL's wire protocol, version 3, as far as a proxy reads and writes them.

Source: PostgreSQL, "Frontend/Backend Protocol", Message Formats.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

PROTOCOL_3_0 = 3 << 16
CANCEL_REQUEST = (1234 << 16) + 5678
SSL_REQUEST = (1234 << 16) + 5679
GSSENC_REQUEST = (1234 << 16) + 5680
LONGEST_STARTUP = 10_000  # bytes; the server's own limit
LONGEST_MESSAGE = 1 << 30  # bytes; a longer length means that the bytes are not PostgreSQL's protocol

AUTHENTICATED = b"R\0\0\0\x08\0\0\0\0"
IDLE = b"Z\0\0\0\x05I"
TERMINATE = b"X\0\0\0\x04"

_HEAD = struct.Struct("!cI")


class ProtocolError(Exception):
    """The bytes are not a message of the protocol."""


class ProtocolMessage(NamedTuple):
    """One message: its type, and all of its bytes."""

    kind: bytes
    raw: bytes

    @property
    def body(self) -> bytes:
        """Return the bytes after type and length."""
        return self.raw[5:]


class MessageReader:
    """A reader that splits a stream into messages and keeps an incomplete one until the rest arrives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[ProtocolMessage]:
        """Return the messages that are complete now. Raise ProtocolError."""
        data = self._rest + data if self._rest else data
        found, at, size = [], 0, len(data)
        while size - at >= _HEAD.size:
            kind, length = _HEAD.unpack_from(data, at)
            if not 4 <= length <= LONGEST_MESSAGE:
                raise ProtocolError(f"a message of {length} bytes")
            end = at + 1 + length
            if end > size:
                break
            found.append(ProtocolMessage(kind, data[at:end]))
            at = end
        self._rest = data[at:]
        return found

    @property
    def has_rest(self) -> bool:
        """Return whether an incomplete message is waiting for its rest."""
        return bool(self._rest)


class StartupPacket(NamedTuple):
    """A packet of the connection's start, which has a code instead of a type."""

    code: int
    body: bytes


def take_startup(data: bytes) -> tuple[StartupPacket | None, bytes]:
    """Return the first startup packet, None if it is incomplete, and the bytes that follow it. Raise ProtocolError."""
    if len(data) < 8:
        return None, data
    length, code = struct.unpack_from("!II", data)
    if not 8 <= length <= LONGEST_STARTUP:
        raise ProtocolError(f"a startup packet of {length} bytes")
    if len(data) < length:
        return None, data
    return StartupPacket(code, data[8:length]), data[length:]


def read_parameters(body: bytes) -> dict[str, str]:
    """Return names and values, each ended by a zero byte, as in a startup packet or a ParameterStatus."""
    words = body.rstrip(b"\0").decode("utf-8", "replace").split("\0")
    return dict(zip(words[::2], [*words[1::2], ""], strict=False))


def read_fields(body: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse by their letter: C is the SQLSTATE, M the message."""
    words = [part.decode("utf-8", "replace") for part in body.split(b"\0") if part]
    return {word[0]: word[1:] for word in words}


def build_message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a message's bytes."""
    return _HEAD.pack(kind, len(body) + 4) + body


def build_startup(parameters: Mapping[str, str]) -> bytes:
    """Return a StartupMessage."""
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, PROTOCOL_3_0) + body


def build_cancel_request(key: bytes) -> bytes:
    """Return a CancelRequest; `key` is the body of the session's BackendKeyData."""
    return struct.pack("!II", len(key) + 8, CANCEL_REQUEST) + key


def build_query(text: str) -> bytes:
    """Return a Query of the simple protocol."""
    return build_message(b"Q", text.encode() + b"\0")


def build_parameter_status(name: str, value: str) -> bytes:
    """Return a ParameterStatus: the value of a setting."""
    return build_message(b"S", f"{name}\0{value}\0".encode())


def build_fatal_error(sqlstate: str, text: str) -> bytes:
    """Return an ErrorResponse after which the connection is closed."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text}
    return build_message(b"E", b"".join(f"{letter}{value}\0".encode() for letter, value in fields.items()) + b"\0")
