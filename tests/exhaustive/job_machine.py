"""The shipped worker, relay and admins' use cases about one mail as a machine to be searched.

An environment runs worker.job_runner, relay.app or jobs_api.service, one invocation after another. Each statement is
the text that ships (sql_table.py), each transaction goes through shared.database's Database. Between two calls outside
an environment may stand still, or be killed; the database, the queue or SES may do what was asked and lose the answer.

Times are microseconds relative to now. Two leases are never the same time, whenever their holders began.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock
from uuid import UUID

import relay.app as relay_app
from jobs_api.service import dismiss_job, replay_job
from relay.app import relay_batch
from shared.aws.errors import OperatorActionNeeded, OutcomeUnknown, RequestRejected, ServiceUnavailable
from shared.database.pipeline import Database
from shared.deadline import Deadline
from shared.errors import Unavailable
from shared.outbox.audit import Actor
from shared.retry.backoff import Backoff
from shared.retry.budget import RetryBudget
from tests.exhaustive.replay import LOST, Failure, Outside, PlayedConnection, Player
from tests.exhaustive.search import Move
from tests.exhaustive.sql_table import MICROSECOND, START, JobTable, RequirementRefused
from worker import job_runner
from worker.job_runner import JobRunner, LeaseLost, MailSettings, NotEnoughTime
from worker.retry_later import RetryLater

TICK = 1_000_000
JOB = UUID(int=1)
JOB_LEASE = PUBLISH_LEASE = PATIENCE = PAUSE = timedelta(seconds=1)
RETRY = Backoff(retries=1, base_s=1.0, cap_s=1.0)
MOST_ATTEMPTS = RETRY.retries + 1
LONGEST_RUN = 2  # longer than a lease: then the runtime ends it
OLDEST = -2 * TICK  # older than any lease of a run that goes on
MINE = 1  # microsecond that makes an environment's own lease different from others'

SENT_TWICE = "a mail was sent twice without a person's decision"
NOT_SENT = "a job is done whose mail was not sent"
FAILED_BUT_SENT = "a job has failed whose mail was sent"
ILLEGAL = "a transition that the page of state machines does not show"
CRASHED = "the code raised an error that it does not handle"
TOO_OFTEN = "more attempts than are allowed"

BEGUN = "the mark that the mail is begun"
ENDED = frozenset({"done", "failed", "uncertain", "dismissed"})


class JobValue(NamedTuple):
    """The job's row, whether the queue has a message for it, and how often its mail was sent since it was replayed."""

    state: str = "pending"
    attempts: int = 0
    leased_until: int | None = None
    available_at: int = 0
    begun: bool = True
    has_message: bool = False
    sent: int = 0


class InvocationRun(NamedTuple):
    """One invocation: what it does, when it began, the answers it has had.

    It reads the clock when it begins, and never again. Of a transaction that was repeated only the last answer is kept:
    nothing depends on the others once it has come.

    `owns_lease` says whether the lease in the row is its own; `is_old` whether a person has replayed the job since it
    marked the mail as begun.
    """

    role: str
    began: int
    script: tuple[Any, ...] = ()
    owns_lease: bool = False
    is_old: bool = False


class IdleInvocation(NamedTuple):
    """An environment without an invocation."""


class JobShift(NamedTuple):
    """Another environment's step: whether the row has another lease, and whether a person has replayed the job."""

    is_lease_new: bool
    is_replayed: bool


class FrozenRow(tuple[tuple[str, Any], ...]):
    """A row as a value: its times are relative to now."""

    __slots__ = ()


_ROLES = {"worker": "begins to work on a message", "relay": "begins to relay"}
# What SES and the circuit in front of it may do: label, whether the mail is sent, and the answer.
_SENDS: tuple[tuple[str, bool, Any], ...] = (
    ("loses SES's answer, which has sent the mail", True, Failure(lambda: OutcomeUnknown("ReadTimeoutError"))),
    ("loses its request to SES", False, Failure(lambda: OutcomeUnknown("ReadTimeoutError"))),
    ("is told by SES to try later", False, Failure(lambda: ServiceUnavailable("Throttling"))),
    ("is refused by SES", False, Failure(lambda: RequestRejected("MessageRejected"))),
    ("is told by SES that an operator has to act", False, Failure(lambda: OperatorActionNeeded("AccessDenied"))),
    ("finds the circuit open", False, Failure(lambda: Unavailable("email", retry_after_s=1.0))),
)


def _ignore(*_arguments: Any, **_more: Any) -> None:
    """Do nothing."""


@contextmanager
def use_short_leases() -> Iterator[None]:
    """Within the block leases and waits are of one or two units of time, and nothing is rendered or logged."""
    quiet = SimpleNamespace(info=_ignore, warning=_ignore)
    replaced: list[tuple[Any, str, Any]] = [
        (job_runner, "JOB_LEASE", JOB_LEASE),
        (job_runner, "RETRY", RETRY),
        (job_runner, "SPREAD_S", 0.0),
        (job_runner, "logger", quiet),
        (job_runner, "render_mail", lambda *_a, **_m: SimpleNamespace(subject="", text="", html="")),
        (relay_app, "PUBLISH_LEASE", PUBLISH_LEASE),
        (relay_app, "QUEUE_PATIENCE", PATIENCE),
        (relay_app, "PUBLISH_PAUSE", PAUSE),
        (relay_app, "MOST_ATTEMPTS", MOST_ATTEMPTS),
        (relay_app, "logger", quiet),
    ]
    with ExitStack() as stack:
        for module, name, value in replaced:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


class JobMachine:
    """Environments that are workers and relays, and admins, about one mail."""

    def __init__(self, legal: frozenset[tuple[str, str]]) -> None:
        self._legal = legal
        self._table = JobTable()

    def begin(self) -> tuple[JobValue, IdleInvocation]:
        """Return a job that has just been committed, and an environment without an invocation."""
        return JobValue(), IdleInvocation()

    def list_moves(self, environment: IdleInvocation | InvocationRun, job: JobValue) -> Iterator[Move]:
        """Return each step that the environment can take next."""
        if isinstance(environment, IdleInvocation):
            yield from self._list_beginnings(job)
            return
        yield Move("is killed", IdleInvocation(), job, fault=True)
        yield from self._list_answers(environment, job)

    def _list_beginnings(self, job: JobValue) -> Iterator[Move]:
        for role, label in _ROLES.items():
            if role == "relay" or job.has_message:
                yield Move(label, InvocationRun(role, 0), job)
        if job.has_message:
            yield Move("sees the message lost", IdleInvocation(), job._replace(has_message=False), fault=True)
        for label, decide in (
            ("has an admin replay the job", lambda tx: replay_job(tx, JOB, actor=Actor(None, ""))),
            ("has an admin dismiss the job", lambda tx: dismiss_job(tx, JOB, "other", actor=Actor(None, ""))),  # type: ignore[arg-type]
        ):
            yield from self._decide(job, label, decide)

    def _decide(self, job: JobValue, label: str, decide: Callable[[Any], Any]) -> Iterator[Move]:
        statements = _Statements()
        decide(statements)
        try:
            after, _ = self._run_statements(job, statements.queued, owns_lease=False)
        except RequirementRefused:
            return
        is_replayed = after.state == "pending"
        after = after._replace(sent=0) if is_replayed else after
        shift = JobShift(is_lease_new=True, is_replayed=is_replayed)
        yield self._make_move(
            label, IdleInvocation(), job, after, fault=True, shift=shift, problem=self._find_illegal()
        )

    def _list_answers(self, run: InvocationRun, job: JobValue) -> Iterator[Move]:
        waiting = self._play(run)
        assert isinstance(waiting, Outside)
        match waiting.kind:
            case "circuit":
                yield self._go_on(run, job, "finds the circuit closed", 0.0)
                yield self._go_on(run, job, "finds the circuit open", 1.0, fault=True)
            case "slot":
                yield self._go_on(run, job, "gets a send slot", None)
                yield self._go_on(
                    run, job, "gets no send slot", Failure(lambda: RetryLater("mail-rate", 1.0)), fault=True
                )
            case "transaction":
                yield from self._list_commits(run, job, waiting.details)
            case "publish":
                queued = job._replace(has_message=True)
                yield self._go_on(run, queued, "publishes the job", True, before=job)
                yield self._go_on(run, queued, "publishes the job and loses the answer", False, fault=True, before=job)
                yield self._go_on(run, job, "fails to publish the job", False, fault=True)
                yield Move("is killed right after it has published the job", IdleInvocation(), queued, fault=True)
            case "send":
                yield from self._list_sends(run, job)
            case _:
                raise AssertionError(waiting.kind)

    def _find_illegal(self) -> str | None:
        """Return the problem of the last transaction if one of its statements made a transition that is not allowed."""
        for pair in pairwise(self._table.states):
            if pair[0] != pair[1] and pair not in self._legal:
                return f"{ILLEGAL}: {pair[0]} to {pair[1]}"
        return None

    def _list_sends(self, run: InvocationRun, job: JobValue) -> Iterator[Move]:
        sent = job if run.is_old else job._replace(sent=job.sent + 1)
        yield self._go_on(run, sent, "sends the mail", None, before=job)
        for label, is_sent, answer in _SENDS:
            yield self._go_on(run, sent if is_sent else job, label, answer, fault=True, before=job)
        yield self._make_move("is killed right after it has sent the mail", IdleInvocation(), job, sent, fault=True)

    def _list_commits(self, run: InvocationRun, job: JobValue, statements: Any) -> Iterator[Move]:
        after, results = self._run_statements(job, statements, owns_lease=run.owns_lease)
        illegal = self._find_illegal()
        rows = tuple(tuple(self._freeze(row) for row in result) for result in results)
        name = _name_transaction(statements)
        is_new = after.leased_until != job.leased_until or (after.leased_until or 0) % TICK == MINE
        owns = (after.leased_until or 0) % TICK == MINE if is_new else run.owns_lease and after.leased_until is not None
        lasting = after._replace(leased_until=None if after.leased_until is None else after.leased_until // TICK * TICK)
        changed = JobShift(is_lease_new=True, is_replayed=False) if is_new and lasting != job else None
        holder = run._replace(owns_lease=owns, is_old=run.is_old and name != BEGUN)
        yield self._go_on(holder, lasting, f"commits {name}", rows, before=job, shift=changed, problem=illegal)
        yield self._go_on(run, job, f"loses the connection before {name}", LOST, fault=True)
        yield self._go_on(
            holder, lasting, f"loses the connection after {name}", LOST, fault=True, before=job, shift=changed
        )
        if lasting != job:
            yield self._make_move(
                f"is killed right after {name}", IdleInvocation(), job, lasting, fault=True, shift=changed
            )

    def _go_on(
        self,
        run: InvocationRun,
        job: JobValue,
        label: str,
        answer: Any,
        *,
        fault: bool = False,
        before: JobValue | None = None,
        shift: Any = None,
        problem: str | None = None,
    ) -> Move:
        """Return the step in which a run gets an answer, and goes on to its next call outside or to its end."""
        script = run.script
        while answer is not LOST and script and script[-1] is LOST:
            script = script[:-1]
        following = run._replace(script=(*script, answer))
        ended = self._play(following)
        if isinstance(ended, Outside):
            return self._make_move(label, following, before or job, job, fault=fault, shift=shift, problem=problem)
        problem = problem or (CRASHED if ended == CRASHED else None)
        if run.role == "worker" and ended != "again":
            job = job._replace(has_message=False)
        return self._make_move(
            f"{label} and ends", IdleInvocation(), before or job, job, fault=fault, shift=shift, problem=problem
        )

    def _make_move(
        self,
        label: str,
        after: Any,
        job: JobValue,
        now: JobValue,
        *,
        fault: bool,
        shift: Any = None,
        problem: str | None = None,
    ) -> Move:
        now = now._replace(sent=min(now.sent, 2))
        return Move(label, after, now, fault, problem or self._check(job, now), shift)

    def _check(self, before: JobValue, after: JobValue) -> str | None:
        """Return the invariant that a step breaks."""
        if after.sent > 1:
            return SENT_TWICE
        if after.state == "done" and not after.sent and before.state != "done":
            return NOT_SENT
        if after.state == "failed" and after.sent:
            return FAILED_BUT_SENT
        return TOO_OFTEN if after.attempts > MOST_ATTEMPTS else None

    # ---- the code ----------------------------------------------------------------------------------------------------
    def _play(self, run: InvocationRun) -> Outside | str:
        """Run an invocation with the answers it has had; return its next call outside, or how it ended."""
        player = Player(run.began, [(run.began, _thaw(answer)) for answer in run.script])
        database = Database(
            PlayedConnection(player),  # type: ignore[arg-type] # a stand-in
            backoff=Backoff(retries=1),
            budget=RetryBudget(most_saved=9, timer=lambda: 0.0),
            sleep=_ignore,
            uniform=lambda _a, b: b,
        )
        deadline = Deadline(at=1_000_000.0, clock=lambda: 0.0)

        def read_clock() -> datetime:
            return START + (player.time + MINE) * MICROSECOND

        queues: Any = SimpleNamespace(
            publish=lambda _priority, ids, **_more: frozenset(ids if player.call("publish") else ()),
            wake_relay=lambda **_more: True,
        )
        try:
            if run.role == "relay":
                relay_batch(database, queues, clock=read_clock, deadline=deadline)
                return "done"
            runner = JobRunner(
                database=database,
                mailer=SimpleNamespace(send=lambda _mail, **_more: player.call("send")),
                identities=None,  # type: ignore[arg-type] # a mail needs none
                queues=queues,
                mail_settings=MailSettings("desk@example.test", "en", "https://example.test"),
                clock=read_clock,
                uniform=lambda _a, b: b,
                wait_for_slot=lambda _priority, _deadline: player.call("slot"),
                circuits={"mail": SimpleNamespace(measure_wait_s=lambda: player.call("circuit"))},
            )
            return runner.run_job(JOB, deadline)
        except Outside as waiting:
            return waiting
        except (Unavailable, NotEnoughTime, LeaseLost):
            return "again"
        except Exception:  # noqa: BLE001 - the message is delivered again
            return CRASHED

    def _run_statements(
        self, job: JobValue, statements: Any, *, owns_lease: bool
    ) -> tuple[JobValue, list[list[dict[str, Any]]]]:
        leased = None
        if job.leased_until is not None:
            leased = START + (job.leased_until + (MINE if owns_lease else 0)) * MICROSECOND
        row = {
            "id": JOB, "kind": "mail", "priority": "high", "state": job.state, "attempts": job.attempts,
            "leased_until": leased, "available_at": START + job.available_at * MICROSECOND, "begun": job.begun,
        }  # fmt: skip
        after, results = self._table.run(row, statements, START)
        lease = after["leased_until"]
        return (
            job._replace(
                state=after["state"],
                attempts=after["attempts"],
                leased_until=None if lease is None else (lease - START) // MICROSECOND,
                available_at=max((after["available_at"] - START) // MICROSECOND, 0),
                begun=after["begun"],
            ),
            results,
        )

    def _freeze(self, row: dict[str, Any]) -> FrozenRow:
        """Return a row as a value."""
        return FrozenRow(
            (name, (value - START) // MICROSECOND if isinstance(value, datetime) else value)
            for name, value in row.items()
        )

    # ---- time and others ---------------------------------------------------------------------------------------------
    def apply_shift(
        self, environment: IdleInvocation | InvocationRun, shift: JobShift
    ) -> IdleInvocation | InvocationRun:
        """Return an environment after another one's step."""
        if isinstance(environment, IdleInvocation):
            return environment
        return environment._replace(
            owns_lease=environment.owns_lease and not shift.is_lease_new,
            is_old=environment.is_old or shift.is_replayed,
        )

    def pass_time(self, environment: IdleInvocation | InvocationRun) -> IdleInvocation | InvocationRun | None:
        """Return the environment a unit of time later; the runtime ends an invocation that takes too long."""
        if isinstance(environment, IdleInvocation):
            return environment
        if environment.began <= -LONGEST_RUN * TICK:
            return IdleInvocation()
        script = tuple(_age(answer) for answer in environment.script)
        return environment._replace(began=environment.began - TICK, script=script)

    def pass_time_shared(self, job: JobValue) -> JobValue:
        """Return the job a unit of time later."""
        leased = None if job.leased_until is None else max(job.leased_until - TICK, OLDEST)
        return job._replace(leased_until=leased, available_at=max(job.available_at - TICK, 0))

    def count_holders(self, environment: IdleInvocation | InvocationRun, job: JobValue) -> int:
        """Return 1 for an environment that has the lease of a running job."""
        return int(isinstance(environment, InvocationRun) and environment.owns_lease and job.state == "running")

    def is_normal(self, environment: IdleInvocation | InvocationRun, job: JobValue) -> bool:
        """Return whether the job is done, or held for a person, and nobody is at it any more."""
        return job.state in ENDED and isinstance(environment, IdleInvocation)


class _Statements:
    """A Transaction that keeps its statements."""

    def __init__(self) -> None:
        self.queued: list[tuple[str, dict[str, Any]]] = []

    def add(self, query: str, **params: Any) -> Any:
        """Keep a statement."""
        self.queued.append((query, params))

    fetch_one = fetch_all = fetch_answer = add

    def run_after_commit(self, _name: str, *_jobs: Any) -> None:
        """Do nothing."""


def _name_transaction(statements: Any) -> str:
    texts = " ".join(query for query, _ in statements)
    for words, name in (
        ("begun = false", "its claim of the job"),
        ("SET begun = true, updated_at", BEGUN),
        ("'abandoned'", "its claim of what is due"),
        ("patience", "what it has published"),
        ("counted", "the outcome"),
    ):
        if words in texts:
            return name
    return "a transaction"


def _thaw(answer: Any) -> Any:
    """Return an answer as the code receives it."""
    if isinstance(answer, tuple):
        return [[_thaw_row(row) for row in rows] for rows in answer]
    return answer


def _thaw_row(row: FrozenRow) -> dict[str, Any]:
    found = {
        name: START + value * MICROSECOND if name == "leased_until" and value is not None else value
        for name, value in row
    }
    if "kind" in found:
        found |= {"payload": {"template": "t", "to": "desk", "facts": {}}, "template": "t", "email": None}
    return found


def _age(answer: Any) -> Any:
    if not isinstance(answer, tuple):
        return answer
    return tuple(
        tuple(FrozenRow((n, v - TICK if n == "leased_until" and v is not None else v) for n, v in row) for row in rows)
        for rows in answer
    )
