"""Faults in the shipped code that the searches have to find: in its functions or in its SQL, in process."""

import inspect
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal
from unittest import mock

from tests.exhaustive import admission_machine as admission
from tests.exhaustive import breaker_machine as breaker
from tests.exhaustive import job_machine as jobs
from tests.exhaustive.search import MORE_THAN_ONE, STUCK


@dataclass(frozen=True, slots=True)
class Mutant:
    """Shipped text and the faulty text in its place, and the invariant that breaks then, `problem`.

    It breaks after `steps` steps of `size` environments, the fewest that can break it.
    `section` names the SQL that is changed, None if it is Python.
    """

    name: str
    machine: Literal["breaker", "key", "kept-key", "stored-key", "limit", "job"]
    module: str
    shipped: str
    faulty: str
    problem: str
    size: int
    steps: int
    section: str | None = None

    @contextmanager
    def use(self) -> Iterator[None]:
        """Within the block the shipped code has this fault."""
        module = import_module(self.module)
        if self.section is not None:
            faulty = _replace_once(module.SQL[self.section], self.shipped, self.faulty)
            with mock.patch.dict(module.SQL, {self.section: faulty}):
                yield
            return
        source = _replace_once(inspect.getsource(module), self.shipped, self.faulty)
        namespace: dict[str, Any] = {"__name__": self.module, "__file__": module.__file__}
        exec(compile(source, str(module.__file__), "exec"), namespace)
        faulty_codes = {
            function.__qualname__: function.__code__ for function in _list_functions(namespace, self.module)
        }
        functions = [each for each in _list_functions(vars(module), self.module) if each.__qualname__ in faulty_codes]
        kept = [(function, function.__code__) for function in functions]
        try:
            for function in functions:
                function.__code__ = faulty_codes[function.__qualname__]
            yield
        finally:
            for function, code in kept:
                function.__code__ = code


def _replace_once(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"stands {text.count(old)} times: {old}")
    return text.replace(old, new)


def _list_functions(namespace: dict[str, Any], module: str) -> Iterator[types.FunctionType]:
    """Yield the functions and methods that a module defines."""
    for value in list(namespace.values()):
        if getattr(value, "__module__", None) != module:
            continue
        members = list(vars(value).values()) if isinstance(value, type) else [value]
        for member in members:
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType) and function.__module__ == module:
                yield function


_VIEW, _STATE, _CIRCUITS = "shared.circuit.local_view", "shared.circuit.state", "shared.aws.dynamodb_circuits"
_EXECUTION, _ITEMS, _STORE, _PIPELINE = (
    "shared.api.execution",
    "shared.aws.dynamodb_admission_items",
    "shared.aws.dynamodb_admission",
    "shared.database.pipeline",
)
_WORKER, _RELAY, _ANSWERS = "worker.job_runner", "relay.app", "relay.answers"

MUTANTS = (
    # ---- breaker -----------------------------------------------------------------------------------------------------
    Mutant(
        "the generation that was seen is no condition", "breaker", _CIRCUITS,
        "{_match('generation', seen.generation)} AND ", "", breaker.TWICE, 2, 12,
    ),
    Mutant(
        "a probe's time is not awaited", "breaker", _VIEW,
        "if due is None or now < due or not", "if due is None or not", breaker.EARLY, 1, 10,
    ),
    Mutant(
        "a failed probe closes the circuit", "breaker", _VIEW,
        "return open_circuit(circuit, self._policy, now) if failed else close_circuit(circuit, now)",
        "return close_circuit(circuit, now)", breaker.NOT_BY_PROBE, 1, 14,
    ),
    Mutant(
        "another's lease is good for a probe too", "breaker", _VIEW,
        "return circuit.holder == self._lease_token and now < circuit.lease_until",
        "return now < circuit.lease_until", MORE_THAN_ONE, 2, 14,
    ),
    Mutant(
        "an open circuit lets calls pass", "breaker", _VIEW,
        'if circuit.state == "closed":\n            generation',
        'if circuit.state != "half_open":\n            generation',
        breaker.PASSED, 1, 9,
    ),
    Mutant(
        "a dead probe's lease is never taken over", "breaker", _STATE,
        'if self.state == "closed" or self.forced:', 'if self.state != "open" or self.forced:', STUCK, 1, 12,
    ),
    Mutant(
        "an opened circuit stays in its generation", "breaker", _STATE,
        'CircuitSnapshot("open", seen.generation + 1,',
        'CircuitSnapshot("open", seen.generation,', breaker.ILLEGAL, 1, 8,
    ),
    # ---- key ---------------------------------------------------------------------------------------------------------
    Mutant(
        "a key may be taken while its holder's lease lasts", "key", _ITEMS,
        "attribute_not_exists(pk) OR known_until <= :now",
        "attribute_not_exists(pk) OR known_until >= :now", admission.STOLEN, 1, 4,
    ),
    Mutant(
        "a repeat stores its answer in the name of a former holder", "key", _ITEMS,
        '"ConditionExpression": "holder = :token",', '"ConditionExpression": "attribute_not_exists(tat)",',
        admission.STOLEN, 2, 8,
    ),
    Mutant(
        "a former holder releases the key", "key", _ITEMS,
        '"holder = :token AND phase = :running"', '"attribute_not_exists(tat)"', admission.OVERWRITTEN, 2, 8,
    ),
    Mutant(
        "a running key is taken whoever holds it", "key", _ITEMS,
        "(holder = :from AND phase = :running AND free_at <= :now)", "(phase = :running)", admission.STOLEN, 2, 10,
    ),
    Mutant(
        "a call that meets a running key does not ask the database", "key", _EXECUTION,
        "if not operation.stores_answer and call.find_committed():", "if False:", admission.TOLD_TO_WAIT, 1, 5,
    ),
    Mutant(
        "the database does not keep the key", "key", _PIPELINE,
        'tx.add(SQL["take_key"], scope=use.scope, key=use.key, fingerprint=use.fingerprint, holder=holder)', "pass",
        admission.TWO_EFFECTS, 1, 5,
    ),
    Mutant(
        "the table's answer is given to another request", "key", _ITEMS,
        'if item["fingerprint"]["S"] != use.fingerprint:', "if False:", admission.OTHERS_ANSWER, 1, 9,
    ),
    Mutant(
        "the database's answer is given to another request", "key", _PIPELINE,
        'if row["fingerprint"] != use.fingerprint:', "if False:", admission.OTHERS_ANSWER, 1, 6,
    ),
    Mutant(
        "an outage is stored as the key's answer", "key", _EXECUTION,
        "if not is_final(error):", "if False:", admission.NO_EFFECT, 1, 4,
    ),
    Mutant(
        "a former holder stores its answer", "stored-key", _ITEMS,
        '"ConditionExpression": "holder = :token",', '"ConditionExpression": "attribute_not_exists(tat)",',
        admission.STOLEN, 2, 8,
    ),
    Mutant(
        "a relay keeps an answer under a key that is another call's", "kept-key", _ITEMS,
        '"phase = :running AND holder = :token"', '"phase = :running"', admission.STOLEN, 1, 9,
    ),
    Mutant(
        "a relay writes over the answer that a repeat has stored", "kept-key", _ITEMS,
        '"phase = :running AND holder = :token"', '"holder = :token"', admission.OVERWRITTEN, 1, 10,
    ),
    Mutant(
        "a relay marks an answer that it could not send", "kept-key", _ANSWERS,
        "            break\n        if is_done:", "            is_done = True\n        if is_done:",
        admission.FORGOTTEN, 1, 7,
    ),
    Mutant(
        "a relay marks an answer that met a repeat's admission", "kept-key", _ANSWERS,
        "        if is_done:", "        if True:", admission.FORGOTTEN, 1, 7,
    ),
    Mutant(
        "a relay marks the answers before it keeps them", "kept-key", _ANSWERS,
        "    holders = _keep_each(keeper, rows, deadline)\n",
        '    holders = [row["holder"] for row in rows]\n'
        "    database.run(lambda tx: _mark_kept(tx, holders), deadline)\n"
        "    _keep_each(keeper, rows, deadline)\n",
        admission.FORGOTTEN, 1, 6,
    ),
    Mutant(
        "no relay reads the answers that are to be kept", "kept-key", _ANSWERS,
        "WHERE holder IS NOT NULL", "WHERE holder IS NULL", STUCK, 1, 3, "unkept_answers",
    ),
    Mutant(
        "no relay marks what it has kept", "kept-key", _ANSWERS,
        "SET holder = NULL", "SET holder = k.holder", STUCK, 1, 3, "mark_kept",
    ),
    # ---- limit -------------------------------------------------------------------------------------------------------
    Mutant(
        "a bucket in use has no end", "limit", _ITEMS,
        '"tat > :now AND tat <= :latest"', '"tat > :now"', admission.PASSED, 1, 3,
    ),
    Mutant(
        "a bucket is taken for full whatever it holds", "limit", _ITEMS,
        '"attribute_not_exists(tat) OR tat <= :now", values',
        '"attribute_not_exists(phase)", values', admission.PASSED, 1, 4,
    ),
    Mutant(
        "one more than the burst", "limit", "shared.admission.gcra",
        "return now + (limit.burst - 1) * compute_interval(limit)",
        "return now + limit.burst * compute_interval(limit)",
        admission.PASSED, 1, 3,
    ),
    Mutant(
        "a call with a key is not charged", "limit", _STORE,
        "        if self.charge:\n            writes", "        if self.charge and not self.use:\n            writes",
        admission.NOT_ATOMIC, 1, 2,
    ),
    Mutant(
        "contention is a way around the limit", "limit", _STORE,
        "return OverLimit(quota, CONTENDED_RETRY_S) if quota", "return Admitted(quota, None) if quota",
        admission.NOT_CHARGED, 1, 5,
    ),
    Mutant(
        "an environment remembers more than was spent", "limit", _STORE,
        "self._tats.learn(items.make_bucket_key(request.charge), spent)",
        "self._tats.learn(items.make_bucket_key(request.charge), spent + 3 * SECOND)", admission.REFUSED, 1, 4,
    ),
    # ---- job ---------------------------------------------------------------------------------------------------------
    Mutant(
        "a running job is claimed by another worker", "job", _WORKER,
        "state IN ('pending', 'queued')", "state IN ('pending', 'queued', 'running')",
        jobs.TOO_OFTEN, 1, 10, "claim_job",
    ),
    Mutant(
        "a worker that has lost its lease begins the mail", "job", _WORKER,
        "AND leased_until = %(lease)s AND state", "AND state", jobs.SENT_TWICE, 2, 19, "mark_job_begun",
    ),
    Mutant(
        "a begun mail is tried again when its worker has died", "job", _RELAY,
        "kind = 'mail' AND begun", "kind = 'mail' AND NOT begun", jobs.SENT_TWICE, 1, 19, "mark_abandoned_jobs",
    ),
    Mutant(
        "a mail is tried again when SES did not answer", "job", _WORKER,
        'return JobOutcome("uncertain", error.code)',
        "return self._schedule_retry(job, error.code)", jobs.SENT_TWICE, 1, 17,
    ),
    Mutant(
        "a former holder records its outcome", "job", _WORKER,
        "AND leased_until = %(lease)s AND state", "AND state", jobs.TOO_OFTEN, 2, 17, "record_job_outcome",
    ),
    Mutant(
        "a mail is sent although it could not be marked as begun", "job", _WORKER,
        "            raise LeaseLost\n", "            pass\n", jobs.SENT_TWICE, 1, 18,
    ),
    Mutant(
        "nobody takes up what a dead worker held", "job", _RELAY,
        "state = 'running' AND", "state = 'gone' AND", STUCK, 1, 6, "mark_abandoned_jobs",
    ),
    Mutant(
        "a lost message is never sent again", "job", _RELAY,
        "state IN ('pending', 'queued')", "state IN ('pending')", STUCK, 1, 2, "claim_due_jobs",
    ),
    Mutant(
        "one attempt more than is allowed", "job", _WORKER,
        "if attempts > RETRY.retries:", "if attempts > RETRY.retries + 1:", jobs.TOO_OFTEN, 1, 21,
    ),
)  # fmt: skip
