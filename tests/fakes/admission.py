"""An AdmissionStore in memory that follows the port's contract."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from threading import Lock

from shared.admission import gcra
from shared.admission.ports import (
    AdmissionDecision,
    Admitted,
    InProgress,
    KeyReused,
    KeyUse,
    LimitCharge,
    OverLimit,
    Replay,
    StoredAnswer,
    WorkDone,
)
from shared.clock import Clock, read_utc_now
from shared.units import SECOND, convert_to_epoch_micros

DAY = 24 * 3600 * SECOND
MAX_ANSWER_BYTES = 300 * 1024


@dataclass(frozen=True, slots=True)
class _Record:
    fingerprint: str
    token: str
    free_at: int
    known_until: int
    answer: StoredAnswer | None = None
    answered: bool = False
    done: WorkDone | None = None


class InMemoryAdmissionStore:
    """Decides as the fleet's store does; `reachable = False` takes it away, `events` is what it reported."""

    def __init__(self, now: Clock = read_utc_now) -> None:
        self.reachable = True
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self._clock = now
        self._tokens = (f"token-{n}" for n in count(1))
        self._tats: dict[tuple[str, str], int] = {}
        self._records: dict[tuple[str, str], _Record] = {}
        self._lock = Lock()

    def admit(
        self, *, charge: LimitCharge | None, use: KeyUse | None, lease_s: float, take_from: str = ""
    ) -> AdmissionDecision:
        """Take the key and charge the limit, both or neither."""
        with self._lock:
            if not self._note_call("admit"):
                return Admitted(quota=None, token=None)
            return (
                self._read_decision(use, take_from) or self._charge_limit(charge) or self._enter(charge, use, lease_s)
            )

    def complete(self, use: KeyUse, token: str, answer: StoredAnswer, *, first_used_at: datetime | None = None) -> None:
        """Keep the answer for a day since the key was used first, if `token` still holds the key."""
        with self._lock:
            if self._note_call("complete") and (held := self._find_held(use, token, "complete")):
                size = len("".join([answer.body, *answer.headers, *answer.headers.values()]).encode())
                if size > MAX_ANSWER_BYTES:
                    self.events.append(("answer_not_kept", {"bytes": size}))
                kept = answer if size <= MAX_ANSWER_BYTES else None
                began = self._read_now() if first_used_at is None else convert_to_epoch_micros(first_used_at)
                record = replace(held, known_until=began + DAY, answer=kept, answered=True)
                self._records[use.scope, use.key] = record

    def release(self, use: KeyUse, token: str) -> None:
        """Give the key back, if `token` still holds it and has not answered."""
        with self._lock:
            if self._note_call("release") and self._find_held(use, token, "release", unanswered=True):
                del self._records[use.scope, use.key]

    def keep_as_relay(self, use: KeyUse, facts: object) -> None:
        """Keep what an answer is made of, as the relay does."""
        with self._lock:
            record = self._records[use.scope, use.key]
            done = WorkDone(facts, self._clock(), record.token)
            self._records[use.scope, use.key] = replace(
                record, known_until=self._read_now() + DAY, answered=True, done=done
            )

    def _read_decision(self, use: KeyUse | None, take_from: str) -> AdmissionDecision | None:
        record = self._records.get((use.scope, use.key)) if use else None
        if use is None or record is None or record.known_until <= self._read_now():
            return None
        if record.fingerprint != use.fingerprint:
            return KeyReused()
        if not record.answered:
            has_lapsed = record.free_at <= self._read_now()
            return None if has_lapsed and record.token == take_from else InProgress(1.0, record.token, has_lapsed)
        return Replay(record.answer) if record.answer else record.done or Admitted(quota=None, token=None)

    def _charge_limit(self, charge: LimitCharge | None) -> OverLimit | None:
        decision = self._decide(charge) if charge else None
        if decision is None or decision.accepted:
            return None
        return OverLimit(decision.quota, decision.retry_after_us / SECOND)

    def _enter(self, charge: LimitCharge | None, use: KeyUse | None, lease_s: float) -> Admitted:
        quota = token = None
        if charge:
            decision = self._decide(charge)
            self._tats[charge.limit.name, charge.bucket] = decision.tat
            quota = decision.quota
        if use:
            token = next(self._tokens)
            now = self._read_now()
            self._records[use.scope, use.key] = _Record(
                use.fingerprint, token, now + round(lease_s * SECOND), now + DAY
            )
        return Admitted(quota, token)

    def _decide(self, charge: LimitCharge) -> gcra.LimitDecision:
        tat = self._tats.get((charge.limit.name, charge.bucket))
        return gcra.decide(charge.limit, tat, self._read_now())

    def _find_held(self, use: KeyUse, token: str, operation: str, *, unanswered: bool = False) -> _Record | None:
        record = self._records.get((use.scope, use.key))
        if record and record.token == token and not (unanswered and record.answered):
            return record
        self.events.append(("stale_token_ignored", {"operation": operation}))
        return None

    def _note_call(self, operation: str) -> bool:
        if not self.reachable:
            self.events.append(("state_store_unavailable", {"operation": operation, "error": "Unreachable"}))
        return self.reachable

    def _read_now(self) -> int:
        return convert_to_epoch_micros(self._clock())
