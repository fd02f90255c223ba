"""Troubles of a running local cloud by which its alarms must ring; each really happens, and ends with its block."""

import asyncio
import json
import os
import secrets
import signal
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Literal

import aiohttp

from stress.fixtures import SignedInUser
from stress.health_schedule import EVENT, REPORT_S
from stress.repeating import repeat_within
from stress.restored_cloud import refuse_invocations
from stress.scenario_context import LocalScenarioContext

POLL_S = 0.02
IDLE_S = 10.0  # the longest wait for environments to be idle
PAUSE_S = 0.4  # between two calls that make the same trouble
# For each function an event whose handling changes nothing: a file of `make events`.
EVENTS = {
    "AgentsFunction": "agents/any_agents.json",
    "MembersFunction": "members/any_members.json",
    "ClaimsFunction": "claims/any_claims.json",
    "PagesFunction": "pages/get_openapi_json.json",
    "JobsFunction": "jobs_api/any_jobs.json",
    "WorkerFunction": "worker/queue_low.json",
    "AdminFunction": "operations/circuits.json",
    "RelayFunction": "relay/every_minute.json",
    "HousekeepingFunction": "housekeeping/every_hour.json",
}
INSERT_JOB = """
INSERT INTO outbox (id, kind, priority, subject_id, payload, state, last_error, created_at, available_at)
VALUES (gen_random_uuid(), %(kind)s, %(priority)s, gen_random_uuid(), '{}', %(state)s, %(mark)s,
        now() - make_interval(secs => %(age_s)s), now() + interval '1 hour')"""
DELETE_JOBS = "DELETE FROM outbox WHERE last_error = %(mark)s"
DELETER = """
SELECT DISTINCT grantee FROM information_schema.role_table_grants
WHERE table_name = 'outbox' AND privilege_type = 'DELETE' AND grantee LIKE '%%housekeeping%%'"""
HIDDEN_S = 900  # a message that no poller gets
CHAIN = 15  # the number of the last invocation that Lambda allows a function in one chain, counted from 0
REPRESENTATIVE = 100  # mails over which the local cloud computes the account's reputation
SENDER = "no-reply@interdomestik.test"

Trouble = AbstractAsyncContextManager[None]


class TroubleMaker:
    """The maker of troubles of a cloud; `member` is somebody signed in. Its health function reports once a second."""

    def __init__(self, own: LocalScenarioContext, member: SignedInUser) -> None:
        """Take the scenario's context on the cloud."""
        self._own, self._cloud, self._member = own, own.target, member
        self._health: Literal["reports", "crashes", "is silent"] = "reports"
        make_client = own.target.aws.make_client
        self._sqs, self._mail = make_client("sqs"), make_client("sesv2")

    @asynccontextmanager
    async def report_health(self) -> AsyncIterator[None]:
        """Invoke the health function as its schedule does, but once a second, within the block."""
        task = asyncio.create_task(self._report_health())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _report_health(self) -> None:
        while True:
            await asyncio.gather(self._work_as_health(), asyncio.sleep(REPORT_S))

    async def _work_as_health(self) -> None:
        if self._health != "is silent":
            await self._report()
        if self._health == "crashes":
            await self._crash("HealthFunction", self._report)

    async def _report(self) -> None:
        with suppress(aiohttp.ClientError, TimeoutError):
            await self._cloud.invoke("HealthFunction", EVENT)

    # ---- jobs, queues and mails -------------------------------------------------------------------------------------
    @asynccontextmanager
    async def add_jobs(self, *jobs: tuple[str, str, str, int]) -> AsyncIterator[None]:
        """Insert jobs that no relay takes: kind, priority, state, and how many seconds ago each was written."""
        mark = f"stress {uuid.uuid4()}"
        for kind, priority, state, age_s in jobs:
            values = {"kind": kind, "priority": priority, "state": state, "age_s": age_s, "mark": mark}
            await self._cloud.query_rows(INSERT_JOB, values)
        try:
            yield
        finally:
            await self._cloud.query_rows(DELETE_JOBS, {"mark": mark})

    @asynccontextmanager
    async def leave_messages(self, ages_s: dict[str, int], *, hidden: bool) -> AsyncIterator[None]:
        """Leave a message of an age in each of these queues; no poller gets a hidden one."""
        for queue, age_s in ages_s.items():
            await self._send_message(queue, DelaySeconds=HIDDEN_S if hidden else 0)
            name = self._cloud.aws.outputs[queue].rpartition("/")[2]
            if age_s:
                aged = {"queue": name, "seconds": age_s}
                await self._cloud.http("PUT", f"{self._cloud.emulator}/_local/age", aged)
        try:
            yield
        finally:
            for queue in ages_s:
                await asyncio.to_thread(self._sqs.purge_queue, QueueUrl=self._cloud.aws.outputs[queue])

    async def _send_message(self, queue: str, **options: Any) -> None:
        url = self._cloud.aws.outputs[queue]
        await asyncio.to_thread(self._sqs.send_message, QueueUrl=url, MessageBody="{}", **options)

    @asynccontextmanager
    async def send_looped(self, functions: dict[str, str]) -> AsyncIterator[None]:
        """Send each queue a message whose chain has invoked its function as often as Lambda allows."""
        for queue, function in functions.items():
            root = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
            chain = f"{root};Lineage=1:{zlib.crc32(function.encode()):08x}:{CHAIN}"
            trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": chain}}
            await self._send_message(queue, MessageSystemAttributes=trace)
        try:
            yield
        finally:
            for queue in functions:
                await asyncio.to_thread(self._sqs.purge_queue, QueueUrl=self._cloud.aws.outputs[queue])

    @asynccontextmanager
    async def return_mails(self, bounces: int, complaints: int) -> AsyncIterator[None]:
        """Send mails of which given percentages bounce or are complained of; at the end as many that arrive."""
        good = [f"person.{n}@example.test" for n in range(REPRESENTATIVE)]
        bad = ["bounce+1@example.test"] * bounces + ["complaint+1@example.test"] * complaints
        await asyncio.to_thread(self._send_mails, [*good, *bad])
        try:
            yield
        finally:
            await asyncio.to_thread(self._send_mails, good)

    def _send_mails(self, addresses: Sequence[str]) -> None:
        content = {"Simple": {"Subject": {"Data": "Hello"}, "Body": {"Text": {"Data": "Hello"}}}}
        for address in addresses:
            self._mail.send_email(FromEmailAddress=SENDER, Destination={"ToAddresses": [address]}, Content=content)

    # ---- circuits, the state table and housekeeping -----------------------------------------------------------------
    @asynccontextmanager
    async def force_circuits_open(self, *names: str) -> AsyncIterator[None]:
        """Force circuits open within the block."""
        try:
            for name in names:
                await self._force_circuit(name, "open")
            yield
        finally:
            for name in names:
                await self._force_circuit(name, "closed")

    async def _force_circuit(self, name: str, state: str) -> None:
        await self._cloud.invoke("AdminFunction", {"command": "force-circuit", "name": name, "state": state})

    @asynccontextmanager
    async def throttle_limits(self) -> AsyncIterator[None]:
        """Let DynamoDB throttle the items of limits, while somebody calls who is limited."""
        url = f"{self._cloud.emulator}/_local/faults"
        fault = {"service": "dynamodb", "status": 400, "code": "ThrottlingException", "text": "limit#"}
        await self._cloud.http("PUT", url, fault)
        try:
            async with repeat_within(self._read_description, every_s=PAUSE_S):
                yield
        finally:
            await self._cloud.http("DELETE", url)

    async def _read_description(self) -> None:
        self._own.samples_wanted += 1
        await self._own.generator.send(self._own.call_factory.make_read("description", "/openapi.json"))

    @asynccontextmanager
    async def fail_chore(self) -> AsyncIterator[None]:
        """Take the right to delete old jobs from housekeeping, which runs again and again within the block."""
        [owner] = await self._cloud.query_rows(DELETER, {})
        await self._cloud.query_rows(f'REVOKE DELETE ON outbox FROM "{owner["grantee"]}"')
        try:
            async with repeat_within(lambda: self._invoke("HousekeepingFunction"), every_s=PAUSE_S):
                yield
        finally:
            await self._cloud.query_rows(f'GRANT DELETE ON outbox TO "{owner["grantee"]}"')

    # ---- functions --------------------------------------------------------------------------------------------------
    async def _invoke(self, function: str) -> None:
        """Invoke a function with its harmless event; whether it answers or fails is what the alarms are to tell."""
        event = json.loads((self._cloud.root / "events" / EVENTS[function]).read_text(encoding="utf-8"))
        with suppress(aiohttp.ClientError, TimeoutError):
            await self._cloud.invoke(function, event)

    @asynccontextmanager
    async def refuse(self, *functions: str) -> AsyncIterator[None]:
        """Leave functions no concurrency, and invoke each again and again within the block."""
        works = [lambda function=function: self._invoke(function) for function in functions]
        async with refuse_invocations(self._cloud, functions), repeat_within(*works, every_s=PAUSE_S):
            yield

    @asynccontextmanager
    async def crash(self, *functions: str) -> AsyncIterator[None]:
        """Kill the environment of one invocation of each function."""
        for function in functions:
            await self._invoke(function)  # so that there is an environment
            await self._crash(function, lambda function=function: self._invoke(function))  # type: ignore[misc]
        yield

    @asynccontextmanager
    async def crash_called(self) -> AsyncIterator[None]:
        """Kill the environment of each of a member's calls within the block."""

        async def read_record() -> None:
            self._own.samples_wanted += 1
            call = self._own.call_factory.make_read(
                "own member", "/members/me", token=self._member.token, client=self._member.address, wanted=(502,)
            )
            await self._own.generator.send(call)

        async def crash_one() -> None:
            await self._invoke("MembersFunction")  # so that there is an environment
            await self._crash("MembersFunction", read_record)

        async with repeat_within(crash_one, every_s=PAUSE_S):
            yield

    @asynccontextmanager
    async def change_health(self, to: Literal["crashes", "is silent"]) -> AsyncIterator[None]:
        """Let every other report crash, or let none be made, within the block."""
        self._health = to
        try:
            yield
        finally:
            if self._health == to:  # otherwise the next change has begun
                self._health = "reports"

    async def _crash(self, function: str, call: Callable[[], Awaitable[None]]) -> None:
        """Kill the environment that a call is given to: all stand still before, so that none can answer it."""
        idle = await self._wait_until_idle(function)
        _signal_all(idle, signal.SIGSTOP)
        under_way = asyncio.ensure_future(call())
        try:
            while not under_way.done():
                found = await self._cloud.list_environments(function)
                _signal_all([each["pid"] for each in found if each["state"] == "busy"], signal.SIGKILL)
                await asyncio.sleep(POLL_S)
        finally:
            _signal_all(idle, signal.SIGCONT)
            await under_way

    async def _wait_until_idle(self, function: str) -> list[int]:
        """Return a function's environments once all are idle: one that stood still before would never take a call."""
        until = time.monotonic() + IDLE_S
        while time.monotonic() < until:
            found = await self._cloud.list_environments(function)
            if found and all(each["state"] == "idle" for each in found):
                return [each["pid"] for each in found]
            await asyncio.sleep(POLL_S)
        raise TimeoutError(f"{function} has no idle environment")


def _signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
