"""The results of admission, and the port of the store that decides on a client's rate limit and Idempotency-Key.

The store decides on both together, so that only new work is charged: a replay, or a call whose key is in use, does not
count against the client's limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

# How long a key returns its first answer.
KEY_LIFE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket of `burst` requests; one request comes back every `period_s / burst` seconds."""

    name: str
    burst: int
    period_s: float

    @property
    def interval_s(self) -> float:
        """Return the seconds until one spent request comes back."""
        return self.period_s / self.burst


@dataclass(frozen=True, slots=True)
class LimitCharge:
    """One request counted against a client's limit; `bucket` is an opaque id, never an address or a name."""

    bucket: str
    limit: RateLimit


@dataclass(frozen=True, slots=True)
class KeyOrigin:
    """The call that used a key, for operators: its operation (`POST /claims`), its request id, the ids of its path.

    `status` is what the operation answers with if it succeeds. An origin names records and requests, never people.
    """

    operation: str
    request_id: str
    ids: tuple[str, ...] = ()
    status: int | None = None


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One use of an Idempotency-Key: `scope` is caller and operation, `fingerprint` is a hash of the request."""

    scope: str
    key: str
    fingerprint: str
    origin: KeyOrigin | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it is sent. It may be stored, so that a repeated call gets the same bytes; many answers are not.

    If part of the answer expires, `body` is the rest of it, and `facts` are the data from which that part is made for
    each call.
    """

    status: int
    headers: Mapping[str, str]
    body: str
    facts: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class UnkeptAnswer:
    """An answer that is in a key's row in the database, and not yet in the key's record in the state table.

    `holder` is the call's token: the record takes the answer only while it has the same token. `facts` are the data
    from which the answer is made, as JSON. The call was made at `first_used_at`.
    """

    scope: str
    key: str
    holder: str
    facts: str
    first_used_at: datetime


@dataclass(frozen=True, slots=True)
class Quota:
    """The rest of a limit: `remaining` requests now, one more in `next_s` seconds, all of them in `reset_s` seconds."""

    limit: RateLimit
    remaining: int
    reset_s: float
    next_s: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may run.

    `token` fences the key's record; None if no key is held (none was sent, or the store is down).
    """

    quota: Quota | None
    token: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """The key was already used for the same request, and this was the answer."""

    answer: StoredAnswer


@dataclass(frozen=True, slots=True)
class WorkDone:
    """The key was already used for the same request; the answer has to be made from these facts.

    `holder` is the token of the call that did the work, at `first_used_at`.
    """

    facts: Any
    first_used_at: datetime
    holder: str


@dataclass(frozen=True, slots=True)
class InProgress:
    """A call has taken the key and stored no answer; the key's row in the database shows whether its work is done.

    If it is not, repeat the call after `retry_after_s` seconds. `holder` is the token of the call that has the key, ""
    if the store has not read it. `has_lapsed` is true once that call's lease has ended: then another call may take the
    key.
    """

    retry_after_s: float
    holder: str = ""
    has_lapsed: bool = False


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The key was already used for another request."""


@dataclass(frozen=True, slots=True)
class OverLimit:
    """The client's bucket is empty; the next request is accepted in `retry_after_s` seconds."""

    quota: Quota
    retry_after_s: float


AdmissionDecision = Admitted | Replay | WorkDone | InProgress | KeyReused | OverLimit


class AdmissionStore(Protocol):
    """The store of limits and keys, shared by all execution environments. While it is down, calls go on without it."""

    def admit(
        self, *, charge: LimitCharge | None, use: KeyUse | None, lease_s: float, take_from: str = ""
    ) -> AdmissionDecision:
        """Take the key and charge the limit, both or neither; the key is held for at most `lease_s` seconds.

        The key stays known for its lifetime, also without an answer. After the lease, a caller who has seen that the
        holder's work is not done may take the key over; `take_from` is that holder's token.
        """
        ...

    def complete(self, use: KeyUse, token: str, answer: StoredAnswer, *, first_used_at: datetime | None = None) -> None:
        """Store the answer for the key's lifetime, if the call with this `token` still holds the key.

        The lifetime begins now, or at `first_used_at` if the answer is that of an earlier use: it then expires together
        with that use's row in the database.
        """
        ...

    def release(self, use: KeyUse, token: str) -> None:
        """Release the key without an answer, so that the next call with it may run."""
        ...
