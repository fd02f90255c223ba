"""A circuit as one execution environment knows it: whether a call may pass, and what to ask of the store or to write.

Nothing here waits, locks or starts a thread: requests to the store are returned and its answers are handed in, so
anything may happen between the two. Every method takes the time, in epoch microseconds.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.circuit.state import (
    NEW,
    CallOutcome,
    CircuitPolicy,
    CircuitSnapshot,
    close_circuit,
    convert_to_micros,
    half_open_circuit,
    is_due_to_open,
    is_suspect,
    open_circuit,
    replace_bucket,
)
from shared.circuit.store import Answer, Request, StoreUnavailable
from shared.units import SECOND

# More than this changes no bucket of the default policy; it bounds what an environment keeps while the table is gone.
MOST_OUTCOMES = 256
# A probe is soon decided, and a store that was late is soon back: who waits for either asks again after this.
ASK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class CallPermit:
    """Permission to make a call, and without asking again any other that begins before `until`.

    `generation` is None if the circuit was not known; `local` is true if this environment decided by itself. `waited_s`
    is how long the call has waited for the store so far.
    """

    generation: int | None
    began: int
    until: int = 0
    probe: bool = False
    local: bool = False
    waited_s: float = 0.0


class LocalView:
    """The fleet's circuit as last `seen`, or while the store is out of reach `local`, this environment's own.

    Outcomes of calls are kept, in the order of their ends, until they are written or change nothing any more. Every
    decision is made on what is known; what to ask first, or to write then, the request methods say.
    """

    def __init__(self, policy: CircuitPolicy, now: int, new_token: Callable[[], str]) -> None:
        self.seen = NEW
        self.local: CircuitSnapshot | None = None
        self._policy = policy
        self._new_token = new_token
        self._refresh, self._window = convert_to_micros(policy.refresh_s), convert_to_micros(policy.window_s)
        self._began = now
        self._asked = 0  # when the store was asked for what was seen; 0 until it has answered
        self._fresh_until = 0
        self._unreachable_since: int | None = None
        self._lease_token = ""
        self._outcomes: deque[CallOutcome] = deque(maxlen=MOST_OUTCOMES)
        self._last_failure = 0

    @property
    def circuit(self) -> CircuitSnapshot:
        """Return the circuit that counts here."""
        return self.local or self.seen

    def is_fresh(self, now: int) -> bool:
        """Return whether a call may be decided on without asking the store."""
        return self._asked <= now < self._fresh_until

    # ---- before a call -----------------------------------------------------------------------------------------------
    def request_refresh(self, now: int) -> Request | None:
        """Return what to ask the store if too little is known: the answer to a write shows the circuit, too."""
        return None if self.is_fresh(now) else self.request_write(now) or self._request(now)

    def request_lease(self, now: int) -> Request | None:
        """Return the write that takes the lease of the fleet's probe, if one is due.

        The token is kept until it was used: if the answer is lost or late, the lease is the next call's.
        """
        due = self.seen.probe_due
        if due is None or now < due or not self.is_fresh(now) or self._has_lease(now):
            return None
        self._lease_token = self._lease_token or self._new_token()
        return self._request(now, half_open_circuit(self.seen, self._policy, now, self._lease_token))

    def permit(self, now: int) -> CallPermit | None:
        """Return permission to make a call, or None. Each lease permits one probe, the fleet's and a local one."""
        circuit = self.circuit
        if circuit.state == "closed":
            generation = circuit.generation if self._asked else None
            return CallPermit(generation, now, self._fresh_until, local=self.local is not None)
        if self._has_lease(now):
            self._lease_token = ""
            return CallPermit(circuit.generation, now, probe=True)
        due = self._local_probe_due()
        if due is None or now < due:
            return None
        self.local, self._fresh_until = half_open_circuit(circuit, self._policy, now, "this environment"), 0
        return CallPermit(self.local.generation, now, probe=True, local=True)

    def measure_wait_s(self, now: int) -> float:
        """Return in how many seconds a call may be tried, as far as it is worth waiting for that without asking."""
        circuit = self.circuit
        if circuit.state == "closed" or self._has_lease(now):
            return 0.0
        due = self._local_probe_due() or circuit.probe_due
        if due is None:
            return self._policy.open_s
        # While it is half open, `open_until` is 0: another's lease outlasts the longest call.
        return min(max(0, due - now) / SECOND, max(ASK_AGAIN_S, (circuit.open_until - now) / SECOND))

    def _has_lease(self, now: int) -> bool:
        """Return whether the fleet's one probe is this environment's to make."""
        circuit = self.circuit
        return circuit.holder == self._lease_token and now < circuit.lease_until

    def _local_probe_due(self) -> int | None:
        """Return when this environment may probe by itself; None if the fleet decides on that, or operators do.

        Once the store is missed: `blind_s` after the fleet's probe is due, and after the store was first missed.
        """
        due = self.circuit.probe_due
        if due is None or self.local is not None:
            return due
        if self._unreachable_since is None:
            return None
        return max(due, self._unreachable_since) + convert_to_micros(self._policy.blind_s)

    # ---- after a call ------------------------------------------------------------------------------------------------
    def is_current(self, permit: CallPermit) -> bool:
        """Return whether a call was permitted under the circuit as it is now."""
        circuit = self.local or self.seen
        if permit.generation is None:
            return circuit.state == "closed" and (circuit.since or 0) <= permit.began
        return permit.generation == circuit.generation and permit.local == (self.local is not None)

    def count(self, began: int, ended: int, *, failed: bool) -> None:
        """Keep a call's outcome until it is written. A success is later than all failures known, by whatever clock."""
        if failed:
            self._last_failure = max(self._last_failure, ended)
        elif ended <= self._last_failure:
            ended = self._last_failure + 1
        self._outcomes.append(CallOutcome(began, ended, failed))

    def request_report(self, permit: CallPermit, now: int, *, failed: bool) -> Request | None:
        """Return the write by which the fleet learns of a call's end; none of a local probe's."""
        if not permit.probe:
            return self.request_write(now)
        if permit.local or not self.is_current(permit):
            return None
        return self._request(now, self._apply_end(permit, now, failed=failed))

    def settle(self, permit: CallPermit, now: int, *, failed: bool) -> CircuitSnapshot | None:
        """Move the local circuit if a call that moves it was not written in time; return it, or None."""
        to = self._apply_end(permit, now, failed=failed)
        if to.generation == self.circuit.generation:
            return None
        if to.state == "closed":
            self._outcomes.clear()
        self.local, self._fresh_until = to, 0
        return to

    def _apply_end(self, permit: CallPermit, now: int, *, failed: bool) -> CircuitSnapshot:
        """Return what the circuit that counts here becomes by the end of a call."""
        circuit = self.circuit
        if permit.probe and self.is_current(permit):
            return open_circuit(circuit, self._policy, now) if failed else close_circuit(circuit, now)
        return self._apply_outcomes(circuit, now)

    def _apply_outcomes(self, circuit: CircuitSnapshot, now: int) -> CircuitSnapshot:
        """Return what a circuit becomes by the outcomes; the same object if none counts."""
        if circuit.state != "closed" or circuit.forced or self._last_failure <= now - self._window:
            return circuit
        before = circuit.bucket.drop_old_failures(self._policy, now)
        bucket = before.add_outcomes(self._policy, self._outcomes).drop_old_failures(self._policy, now)
        if is_due_to_open(self._policy, bucket, now):
            return open_circuit(circuit, self._policy, now)
        return circuit if bucket == before else replace_bucket(circuit, bucket)

    # ---- requests and answers ----------------------------------------------------------------------------------------
    def request_write(self, now: int) -> Request | None:
        """Return the write of the outcomes, None if they change nothing. An unknown circuit is read first."""
        to = self._apply_outcomes(self.seen, now)
        if to is self.seen:
            return None
        return self._request(now, to if self._asked else None)

    def _request(self, now: int, to: CircuitSnapshot | None = None) -> Request:
        return Request(self._policy.name, now, self.seen, to, tuple(self._outcomes))

    def learn(self, request: Request, answer: Answer, now: int) -> Request | None:
        """Take in the answer to a request, and return the request that follows from it, if any."""
        if isinstance(answer, StoreUnavailable):
            self._unreachable_since = self._unreachable_since or now
            return None
        seen = answer.now
        if not self._is_same_circuit(seen):
            self._outcomes.clear()
        self.seen, self.local, self._asked, self._unreachable_since = seen, None, request.asked, None
        self._last_failure = max((self._last_failure, *seen.bucket.failures))
        suspect = is_suspect(self._policy, seen.bucket, now)
        self._fresh_until = request.asked + (0 if suspect else self._refresh)
        if answer.done:
            self._drop(request.outcomes)
        following = self.request_write(now)
        if suspect and following is None:
            # Who calls although failures are known has no earlier success to set against them.
            self._drop(request.outcomes)
        return following

    def _drop(self, outcomes: Sequence[CallOutcome]) -> None:
        dropped = set(map(id, outcomes))
        self._outcomes = deque((each for each in self._outcomes if id(each) not in dropped), MOST_OUTCOMES)

    def _is_same_circuit(self, seen: CircuitSnapshot) -> bool:
        """Return whether the outcomes count under this circuit: it has not moved, or was closed all the while."""
        if self._asked:
            return seen.generation == self.seen.generation
        return seen.state == "closed" and (seen.since or 0) <= self._began
