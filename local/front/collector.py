"""The collection of all that the front page shows: each part by itself, so that one that fails hides no other."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from local.front import request_logs
from local.front.database import DatabaseReader
from local.front.emulator_reader import EmulatorReader
from local.front.model import (
    CircuitLine,
    DatabaseAccess,
    EnvironmentLine,
    FrontView,
    JobLine,
    MailLine,
    PagePart,
    RequestLine,
    TraceStep,
    TraceView,
    format_time,
)
from local.inbox.messages import InboxMessage
from local.runtime.invocation import FunctionInvocation, InvocationOutcome, ThrottledError
from local.runtime.versions import FunctionFleet

OPERATIONS = "AdminFunction"
SHOWN_REQUESTS = 12
SHOWN_JOBS = 8
SHOWN_MAILS = 8
MOST_STEPS = 500  # of a trace: a load test may give all of its calls one
# A part that takes longer is shown as not answering: an environment's start takes a second or two.
PART_LIMIT_S = 10.0
BUSY_S = 5.0  # how long a command waits for the one that is running
RETRY_S = 0.05
WORKER_ID = "X-Request-Id"  # of a mail's headers

T = TypeVar("T")
ReadInbox = Callable[[], Awaitable[list[InboxMessage]]]


class CommandRefused(Exception):
    """The operations function refused a command; the message is its reason."""


class FrontCollector:
    """Reads the parts of one local cloud. `logs` is the folder of its logs."""

    def __init__(
        self,
        logs: Path,
        fleet: FunctionFleet,
        inbox: ReadInbox,
        database: DatabaseReader,
        emulator: EmulatorReader,
    ) -> None:
        self._logs = logs
        self._fleet = fleet
        self._inbox = inbox
        self._database = database
        self._emulator = emulator
        self._running: set[asyncio.Task[InvocationOutcome]] = set()
        # How each part is read that needs no other part.
        self._readers: Mapping[str, Callable[[], Awaitable[Any]]] = {
            "outbox": lambda: asyncio.to_thread(database.count_jobs),
            "jobs": lambda: asyncio.to_thread(database.list_unfinished_jobs, SHOWN_JOBS),
            "queues": lambda: asyncio.to_thread(emulator.list_queues),
            "circuits": self._list_circuits,
            "environments": self._list_environments,
            "alarms": lambda: asyncio.to_thread(emulator.list_alarms),
            "mails": self._list_mails,
        }

    async def collect(self) -> FrontView:
        """Return the whole page."""
        found = await asyncio.gather(*(_take(read(), []) for read in self._readers.values()))
        parts = dict(zip(self._readers, found, strict=True))
        mails = parts.pop("mails")
        return FrontView(
            at=format_time(time.time()),
            requests=await _take(self._list_requests(mails.found), []),
            mails=_shorten(mails),
            database=self._describe_database(),
            **parts,
        )

    async def collect_part(self, name: str) -> PagePart[Any] | DatabaseAccess:
        """Return one part of the page; what only other parts show is not read."""
        if name == "database":
            return self._describe_database()
        if name == "requests":
            mails = await _take(self._list_mails(), [])
            return await _take(self._list_requests(mails.found), [])
        part: PagePart[Any] = await _take(self._readers[name](), [])
        return _shorten(part) if name == "mails" else part

    async def trace(self, wanted: str) -> TraceView:
        """Return all that is known of an id: a request's, a trace's or the gateway's."""
        requests = await asyncio.to_thread(request_logs.find_requests, self._logs, wanted)
        ids = {wanted, *(line.request_id for line in requests)}
        logged = await asyncio.to_thread(request_logs.find_log_steps, self._logs, ids)
        mails = await _take(self._list_mails(), [])
        jobs, entries = await asyncio.gather(
            _take(asyncio.to_thread(self._database.list_jobs, ids), []),
            _take(asyncio.to_thread(self._database.list_entries, ids), []),
        )
        ids |= {job.request_id for job in jobs.found}
        steps = [*map(_make_gateway_step, requests), *logged, *entries.found, *map(_make_job_step, jobs.found)]
        steps += [_make_mail_step(mail) for mail in mails.found if mail.request_id in ids]
        problems = [part.problem for part in (mails, jobs, entries) if part.problem]
        if len(steps) > MOST_STEPS:
            problems.append(f"there are {len(steps)} steps, of which the first {MOST_STEPS} are shown")
        joined = [_join_effects(line, jobs.found, mails.found) for line in requests[:MOST_STEPS]]
        ordered = sorted(steps, key=lambda step: step.at)[:MOST_STEPS]
        return TraceView(wanted, joined, PagePart(ordered, "; ".join(dict.fromkeys(problems))))

    async def run_command(self, command: Mapping[str, str]) -> dict[str, Any]:
        """Return the operations function's answer to a command. Raise CommandRefused; OSError if it can't run."""
        invocation = FunctionInvocation(str(uuid4()), json.dumps(command).encode(), "")
        if OPERATIONS not in self._fleet.pools:
            raise OSError(f"this stack has no {OPERATIONS}")
        outcome = await self._invoke_when_free(invocation)
        answer: dict[str, Any] = json.loads(outcome.payload)
        if outcome.error:
            raise CommandRefused(str(answer.get("errorMessage", outcome.error)))
        return answer

    async def _invoke_when_free(self, invocation: FunctionInvocation) -> InvocationOutcome:
        """Run an operators' command; one runs at a time, and another view or `make circuits` may be running its own."""
        deadline = asyncio.get_running_loop().time() + BUSY_S
        while True:
            try:
                return await self._invoke_to_its_end(invocation)
            except ThrottledError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise OSError(f"{OPERATIONS} is busy") from error
                await asyncio.sleep(RETRY_S)

    async def _invoke_to_its_end(self, invocation: FunctionInvocation) -> InvocationOutcome:
        """Return the outcome; an invocation that nobody waits for any more goes on by itself, as on AWS."""
        task = asyncio.get_running_loop().create_task(self._fleet.pools[OPERATIONS].invoke(invocation))
        self._running.add(task)
        task.add_done_callback(self._forget_task)
        return await asyncio.shield(task)

    def _forget_task(self, task: asyncio.Task[InvocationOutcome]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks the exception as seen

    async def _list_circuits(self) -> Sequence[CircuitLine]:
        try:
            found = await self.run_command({"command": "circuits"})
        except CommandRefused as error:
            raise OSError(str(error)) from error
        return read_circuits(found)

    async def _list_mails(self) -> Sequence[MailLine]:
        return [_make_mail(message) for message in await self._inbox()]

    async def _list_requests(self, mails: Sequence[MailLine]) -> Sequence[RequestLine]:
        requests = await asyncio.to_thread(request_logs.read_recent_requests, self._logs, SHOWN_REQUESTS)
        jobs = await _take(asyncio.to_thread(self._database.list_jobs, [line.request_id for line in requests]), [])
        return [_join_effects(line, jobs.found, mails) for line in requests]

    async def _list_environments(self) -> list[EnvironmentLine]:
        return [_make_environment(name, pool.read_status()) for name, pool in sorted(self._fleet.pools.items())]

    def _describe_database(self) -> DatabaseAccess:
        return DatabaseAccess("make psql", self._database.conninfo)


def _shorten(mails: PagePart[Sequence[MailLine]]) -> PagePart[Sequence[MailLine]]:
    return replace(mails, found=mails.found[:SHOWN_MAILS])


async def _take(work: Awaitable[T], none: T) -> PagePart[T]:
    """Return what the work finds, or `none` and the reason if it can't be read in time."""
    try:
        async with asyncio.timeout(PART_LIMIT_S):
            return PagePart(await work)
    except TimeoutError:
        return PagePart(none, f"no answer within {PART_LIMIT_S:.0f} s")
    except OSError as error:
        return PagePart(none, str(error))


def read_circuits(answer: Mapping[str, Any]) -> list[CircuitLine]:
    """Return the circuits in an answer of the operations function, by name."""
    return [
        CircuitLine(
            name=name,
            state=circuit["state"],
            forced=circuit["forced"],
            since=circuit["since"] or "",
            probe_at=circuit["probe_at"] or "",
            failures=circuit["failures"],
            held_jobs=circuit["held_jobs"],
            held_until=circuit["held_until"] or "",
        )
        for name, circuit in sorted(answer["circuits"].items())
    ]


def _make_environment(name: str, status: Mapping[str, Any]) -> EnvironmentLine:
    environments = status["environments"]
    states = [environment["state"] for environment in environments]
    return EnvironmentLine(
        function=name,
        limit=status["limit"],
        in_flight=status["in_flight"],
        throttles=status["throttles"],
        states={state: states.count(state) for state in sorted(set(states))},
        invocations=sum(environment["invocations"] for environment in environments),
        pids=[environment["pid"] for environment in environments if environment["pid"]],
    )


def _make_mail(message: InboxMessage) -> MailLine:
    request_id = message.headers.get(WORKER_ID, "")
    return MailLine(message.id, message.subject, ", ".join(message.to), message.sent_at, request_id)


def _join_effects(line: RequestLine, jobs: Sequence[JobLine], mails: Sequence[MailLine]) -> RequestLine:
    return replace(
        line,
        jobs=[job for job in jobs if job.request_id == line.request_id],
        mails=[mail for mail in mails if mail.request_id == line.request_id],
    )


def _make_gateway_step(line: RequestLine) -> TraceStep:
    facts = {"gateway_id": line.gateway_id, "trace_id": line.trace_id, "latency_ms": line.latency_ms}
    if line.refused_as:
        facts["refused_as"] = line.refused_as
    return TraceStep(line.at, "gateway", "gateway", f"{line.method} {line.route} → {line.status}", facts)


def _make_job_step(job: JobLine) -> TraceStep:
    facts = {"id": job.id, "priority": job.priority, "state": job.state, "attempts": job.attempts}
    if job.error:
        facts["error"] = job.error
    return TraceStep(job.created_at, "job", "outbox", f"{job.kind} {job.template}".strip(), facts)


def _make_mail_step(mail: MailLine) -> TraceStep:
    return TraceStep(mail.sent_at, "mail", "inbox", mail.subject, {"to": mail.to, "id": mail.id})
