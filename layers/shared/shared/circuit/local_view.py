"""A circuit as one execution environment knows it: whether a call may pass, and what to read from the store or write.

Nothing here waits, locks or starts a thread: methods return requests to the store, and `learn` takes its answers, so
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

# More outcomes than this change no bucket of the default policy. It limits the memory while the table is out of reach.
MOST_OUTCOMES = 256
# A probe is soon decided, and a late store soon answers: a job that waits for either is tried again after this time.
ASK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class CallPermit:
    """Permission to make one call, and every further call that begins before `until`.

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
    """The shared circuit as last `seen`; while the store is out of reach, also `local`, this environment's own circuit.

    Outcomes of calls are kept, in the order in which the calls ended, until they are written or no longer change
    anything. Decisions use only what is known here. The methods `request_…` return what to read from the store before a
    decision, or what to write to it after a call.
    """

    def __init__(self, policy: CircuitPolicy, now: int, new_token: Callable[[], str]) -> None:
        self.seen = NEW
        self.local: CircuitSnapshot | None = None
        self._policy = policy
        self._new_token = new_token
        self._refresh, self._window = convert_to_micros(policy.refresh_s), convert_to_micros(policy.window_s)
        self._began = now
        self._asked = 0  # when the request was made whose answer was seen; 0 until the store has answered
        self._fresh_until = 0
        self._unreachable_since: int | None = None
        self._lease_token = ""
        self._outcomes: deque[CallOutcome] = deque(maxlen=MOST_OUTCOMES)
        self._last_failure = 0

    @property
    def circuit(self) -> CircuitSnapshot:
        """Return the circuit that decides here: the local one if there is one, else the shared one."""
        return self.local or self.seen

    def is_fresh(self, now: int) -> bool:
        """Return whether a call may be decided on without asking the store."""
        return self._asked <= now < self._fresh_until

    # ---- before a call -----------------------------------------------------------------------------------------------
    def request_refresh(self, now: int) -> Request | None:
        """Return the request that refreshes an old view: a write if one is due, whose answer shows the circuit too."""
        return None if self.is_fresh(now) else self.request_write(now) or self._request(now)

    def request_lease(self, now: int) -> Request | None:
        """Return the write that takes the lease of the shared circuit's probe, if one is due.

        The token is kept until a probe uses it: if the answer is lost or late, the next call makes the probe.
        """
        due = self.seen.probe_due
        if due is None or now < due or not self.is_fresh(now) or self._has_lease(now):
            return None
        self._lease_token = self._lease_token or self._new_token()
        return self._request(now, half_open_circuit(self.seen, self._policy, now, self._lease_token))

    def permit(self, now: int) -> CallPermit | None:
        """Return a permit, or None. Each lease permits one probe, whether it is the shared or the local circuit's."""
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
        """Return in how many seconds to try a call: when a probe is due, or sooner if another's may be over."""
        circuit = self.circuit
        if circuit.state == "closed" or self._has_lease(now):
            return 0.0
        due = self._local_probe_due() or circuit.probe_due
        if due is None:
            return self._policy.open_s
        # While it is half open, `open_until` is 0 and ASK_AGAIN_S decides: another's lease outlasts the longest call.
        return min(max(0, due - now) / SECOND, max(ASK_AGAIN_S, (circuit.open_until - now) / SECOND))

    def _has_lease(self, now: int) -> bool:
        """Return whether this environment holds the lease of the shared circuit's probe."""
        circuit = self.circuit
        return circuit.holder == self._lease_token and now < circuit.lease_until

    def _local_probe_due(self) -> int | None:
        """Return when this environment may probe by itself; None if the shared circuit or operators decide about that.

        While the store is out of reach, that is `blind_s` after the shared circuit's probe is due, and at the earliest
        `blind_s` after the store was first unreachable.
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
        """Keep a call's outcome until it is written. Date a success after all known failures: clocks differ."""
        if failed:
            self._last_failure = max(self._last_failure, ended)
        elif ended <= self._last_failure:
            ended = self._last_failure + 1
        self._outcomes.append(CallOutcome(began, ended, failed))

    def request_report(self, permit: CallPermit, now: int, *, failed: bool) -> Request | None:
        """Return the write that reports a call's end to the shared circuit; None for a local probe."""
        if not permit.probe:
            return self.request_write(now)
        if permit.local or not self.is_current(permit):
            return None
        return self._request(now, self._apply_end(permit, now, failed=failed))

    def settle(self, permit: CallPermit, now: int, *, failed: bool) -> CircuitSnapshot | None:
        """Change the local circuit if a call that changes the state was not written in time; return it, or None."""
        to = self._apply_end(permit, now, failed=failed)
        if to.generation == self.circuit.generation:
            return None
        if to.state == "closed":
            self._outcomes.clear()
        self.local, self._fresh_until = to, 0
        return to

    def _apply_end(self, permit: CallPermit, now: int, *, failed: bool) -> CircuitSnapshot:
        """Return the circuit that decides here as it is after the end of a call."""
        circuit = self.circuit
        if permit.probe and self.is_current(permit):
            return open_circuit(circuit, self._policy, now) if failed else close_circuit(circuit, now)
        return self._apply_outcomes(circuit, now)

    def _apply_outcomes(self, circuit: CircuitSnapshot, now: int) -> CircuitSnapshot:
        """Return a circuit as it is after the kept outcomes; the same object if they change nothing."""
        if circuit.state != "closed" or circuit.forced or self._last_failure <= now - self._window:
            return circuit
        before = circuit.bucket.drop_old_failures(self._policy, now)
        bucket = before.add_outcomes(self._policy, self._outcomes).drop_old_failures(self._policy, now)
        if is_due_to_open(self._policy, bucket, now):
            return open_circuit(circuit, self._policy, now)
        return circuit if bucket == before else replace_bucket(circuit, bucket)

    # ---- requests and answers ----------------------------------------------------------------------------------------
    def request_write(self, now: int) -> Request | None:
        """Return the write of the kept outcomes, None if they change nothing; the read of a circuit not known yet."""
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
            # Calls that began before the failures were known don't count against them.
            self._drop(request.outcomes)
        return following

    def _drop(self, outcomes: Sequence[CallOutcome]) -> None:
        dropped = set(map(id, outcomes))
        self._outcomes = deque((each for each in self._outcomes if id(each) not in dropped), MOST_OUTCOMES)

    def _is_same_circuit(self, seen: CircuitSnapshot) -> bool:
        """Return whether the kept outcomes count for this circuit: it has not changed, or was closed throughout."""
        if self._asked:
            return seen.generation == self.seen.generation
        return seen.state == "closed" and (seen.since or 0) <= self._began
