"""The decisions of admission, and the store that makes them: a client's limit and its Idempotency-Key together.

Both are decided together, so that only new work is charged: a replay, or a call that finds its key
in use, costs its client nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# How long a key stands for its first answer.
KEY_LIFE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket of `burst` requests; one comes back every `period_s / burst` seconds."""

    name: str
    burst: int
    period_s: float

    @property
    def interval_s(self) -> float:
        """Seconds until one spent request comes back."""
        return self.period_s / self.burst


@dataclass(frozen=True, slots=True)
class LimitCharge:
    """One request against a client's limit; `bucket` is an opaque id, never an address or a name."""

    bucket: str
    limit: RateLimit


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One use of an Idempotency-Key: who and where (`scope`), the key, and a hash of what was asked."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it went out, kept so that a repeated call gets the same bytes.

    Where part of it expires, `body` is the rest, and `facts` what that part is made from at each answering.
    """

    status: int
    headers: Mapping[str, str]
    body: str
    facts: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """The rest of a limit: `remaining` requests now, one more in `next_s` seconds, all again in `reset_s`."""

    limit: RateLimit
    remaining: int
    reset_s: float
    next_s: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """Go on. `token` fences the key's record: None where no key is held (none sent, or the store is gone)."""

    quota: Quota | None
    token: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """The key was used for the same request, and this was the answer."""

    answer: StoredAnswer


@dataclass(frozen=True, slots=True)
class InProgress:
    """The first call with this key has not finished; ask again after `retry_after_s`."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class OverLimit:
    """The client's bucket is empty; the next request is accepted `retry_after_s` from now."""

    quota: Quota
    retry_after_s: float


AdmissionVerdict = Admitted | Replay | InProgress | KeyReused | OverLimit


class AdmissionStore(Protocol):
    """The store of limits and keys: quick, shared by the fleet, and allowed to be lost."""

    def admit(self, *, charge: LimitCharge | None, use: KeyUse | None, lease_s: float) -> AdmissionVerdict:
        """Take the key and charge the limit, both or neither; the key is held at most `lease_s` seconds."""
        ...

    def complete(self, use: KeyUse, token: str, answer: StoredAnswer) -> None:
        """Keep the answer for the key's lifetime, unless another call has taken the key over since."""
        ...

    def release(self, use: KeyUse, token: str) -> None:
        """Give the key back unanswered, so that the next call may try again."""
        ...
