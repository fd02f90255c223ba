"""A server session as PostgreSQL has it, as far as transactions, errors and pipelines go.

A statement's text is its tag, `<client>.<serial>`, with one of the words begin, commit, rollback, fail, run after it:
whatever answers it carries the tag, so that an answer that comes to another client is seen.
"""

import struct
from dataclasses import dataclass, field

from local.database_proxy.framing import (
    MessageReader,
    ProtocolMessage,
    build_fatal_error,
    build_message,
    build_parameter_status,
)

ASKED_BY_PROXY = "proxy.0 run"
CANCELED = "57014"


def build_error(sqlstate: str, text: str) -> bytes:
    """Return an ErrorResponse after which the session goes on."""
    return build_message(b"E", f"SERROR\0C{sqlstate}\0M{text}\0".encode() + b"\0")


def build_row(text: str) -> bytes:
    """Return a DataRow of one column."""
    return build_message(b"D", struct.pack("!HI", 1, len(text)) + text.encode())


@dataclass
class SimulatedBackend:
    """Messages go in, answers come out; `executed` has each statement's tag with the transaction it ran in."""

    executed: list[tuple[str, str]] = field(default_factory=list)
    transaction: str = ""  # the tag of the BEGIN that opened it
    failed: bool = False
    skipping: bool = False  # until the next Sync
    in_batch: str = ""  # the client whose extended messages no Sync has followed
    ended: bool = False
    cancel_for: str = ""  # a cancellation that has come for this client's statement
    stolen: list[str] = field(default_factory=list)  # cancellations that met somebody else's statement
    _text: str = ""

    @property
    def owner(self) -> str:
        """The client that must have this session for itself now."""
        return self.transaction.split(".")[0] or self.in_batch

    def answer(self, said: ProtocolMessage) -> bytes:
        """Take one message and return what is said to it."""
        if said.kind == b"X":
            self.ended = True
            return b""
        if said.kind == b"S":
            self.skipping, self.in_batch = False, ""
            return self._build_ready()
        if self.skipping:
            return b""
        if said.kind == b"Q":
            return self._run_all(said.body.rstrip(b"\0").decode()) + self._build_ready()
        return self._run_extended(said)

    def _run_extended(self, said: ProtocolMessage) -> bytes:
        if said.kind == b"P":
            self._text = said.body.split(b"\0")[1].decode()
            self.in_batch = self._text.split(".")[0]
            return build_message(b"1")
        if said.kind == b"B":
            return build_message(b"2")
        if said.kind == b"E":
            answer = self._run(self._text)
            self.skipping = answer.startswith(b"E")
            return answer
        return b""  # Flush, and what COPY leaves behind

    def _run_all(self, texts: str) -> bytes:
        self.in_batch = ""
        answer = b""
        for text in texts.split(";"):
            answer += (one := self._run(text if "." in text.split(" ")[0] else ASKED_BY_PROXY))
            if one.startswith(b"E"):
                break
        return answer

    def _run(self, text: str) -> bytes:
        tag, word = text.split(" ")
        client, self.cancel_for, asked_for = tag.split(".")[0], "", self.cancel_for
        if asked_for:
            if asked_for != client:
                self.stolen.append(f"{tag} by a cancellation for {asked_for}")
            self.failed = bool(self.transaction)
            return build_error(CANCELED, tag)
        if self.failed and word not in ("commit", "rollback"):
            return build_error("25P02", tag)
        if word == "fail":
            self.failed = bool(self.transaction)
            return build_error("22012", tag)
        return self._finish_statement(tag, word)

    def _finish_statement(self, tag: str, word: str) -> bytes:
        self.executed.append((tag, self.transaction))
        if word == "begin" and not self.transaction:
            self.transaction = tag
        elif word in ("commit", "rollback"):
            self.transaction, self.failed = "", False
        return build_row(tag) + build_message(b"C", b"DONE\0")

    def _build_ready(self) -> bytes:
        return build_message(b"Z", b"E" if self.failed else b"T" if self.transaction else b"I")


def build_greeting(pid: int) -> bytes:
    """Return the messages that begin a session."""
    status = build_parameter_status("server_version", "17.0")
    return (
        build_message(b"R", b"\0\0\0\0")
        + status
        + build_message(b"K", struct.pack("!II", pid, pid))
        + build_message(b"Z", b"I")
    )


def answer_all(messages: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """Return a dedicated server's answers to these messages, and what it executes."""
    backend, answer = SimulatedBackend(), b""
    for said in MessageReader().feed(messages):
        answer += backend.answer(said)
    return answer, backend.executed


SHUTDOWN = build_fatal_error("57P01", "terminating connection due to administrator command")
