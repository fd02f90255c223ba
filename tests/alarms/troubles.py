"""Troubles of a running local cloud, each of which really happens and ends with its block."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import httpx
import psycopg

from local.database_proxy.proxy import BORROW_TIMEOUT_S
from local.postgres import DATABASE
from local.state_folder import StateFolder
from tests.e2e.cloud import ROOT, RunningCloud, wait_until
from tests.soak.faults import list_environments

EVENTS = ROOT / "events"
# For each function an event whose handling changes nothing: a file that `make events` writes.
HARMLESS = {
    "AgentsFunction": "agents/any_agents.json",
    "MembersFunction": "members/any_members.json",
    "ClaimsFunction": "claims/any_claims.json",
    "HealthFunction": "health/get_health.json",
    "PagesFunction": "pages/get_openapi_json.json",
    "JobsFunction": "jobs_api/any_jobs.json",
    "RelayFunction": "relay/every_minute.json",
    "WorkerFunction": "worker/queue_low.json",
    "HousekeepingFunction": "housekeeping/every_hour.json",
    "AdminFunction": "operations/circuits.json",
}
LONGEST_CALL_S = 320.0  # a little more than the longest timeout of the functions that are called here
LOOK_S = 0.05
LONGEST_START_S = 20.0  # of invocations, until they are counted as under way; and of environments, until they are gone


def read_event(function: str) -> bytes:
    """Return the harmless event of a function."""
    return Path(EVENTS / HARMLESS[function]).read_bytes()


def invoke_function(cloud: RunningCloud, function: str, event: bytes | None = None) -> httpx.Response:
    """Invoke a function as Lambda's API does, with its harmless event unless another is named."""
    url = f"{cloud.origin}/2015-03-31/functions/{function}/invocations"
    return httpx.post(url, content=read_event(function) if event is None else event, timeout=LONGEST_CALL_S)


@contextmanager
def reserve_concurrency(cloud: RunningCloud, function: str, limit: int) -> Iterator[None]:
    """Let at most `limit` invocations of a function run at the same time within the block."""
    before = httpx.get(f"{cloud.origin}/_local/status", timeout=30).json()["functions"][function]["limit"]
    _put_concurrency(cloud, function, limit)
    try:
        yield
    finally:
        _put_concurrency(cloud, function, before)


def _put_concurrency(cloud: RunningCloud, function: str, limit: int) -> None:
    url = f"{cloud.origin}/2017-10-31/functions/{function}/concurrency"
    httpx.put(url, json={"ReservedConcurrentExecutions": limit}, timeout=30).raise_for_status()


def crash_invocation(cloud: RunningCloud, function: str, call: Callable[[], object] | None = None) -> None:
    """Kill the environment that an invocation of a function, or another call that invokes it, was just given to."""
    invoke_function(cloud, function)  # so that there is an environment
    with ThreadPoolExecutor(1) as calls:
        idle = [each["pid"] for each in list_environments(cloud)[function] if each["state"] == "idle"]
        for pid in idle:
            _send_signal(pid, signal.SIGSTOP)  # so that it can't answer before it is killed
        called = calls.submit(call or (lambda: invoke_function(cloud, function)))
        _kill_busy(cloud, function, called)
        for pid in idle:
            _send_signal(pid, signal.SIGCONT)


def _kill_busy(cloud: RunningCloud, function: str, call: Future[Any]) -> None:
    while not call.done():
        for each in list_environments(cloud)[function]:
            if each["state"] == "busy":
                _send_signal(each["pid"], signal.SIGKILL)
        time.sleep(LOOK_S)


@contextmanager
def fill_function(cloud: RunningCloud, function: str, invocations: int) -> Iterator[None]:
    """Keep `invocations` of a function under way within the block, whose environments stand still.

    They wait for environments that do not come to the end of their start, as on AWS while many start at once: one that
    stood still in an invocation would end it by the function's timeout. A block that lasts longer than an environment
    may take to start would end some of them by an error.
    """
    _end_environments(cloud, function)  # so that none of them answers
    holder = StartHolder(cloud, function)
    over = threading.Event()

    def keep_holding() -> None:
        while not over.wait(LOOK_S):
            holder.look()

    thread = threading.Thread(target=keep_holding, daemon=True)
    thread.start()
    try:
        for _ in range(invocations):
            _invoke_asynchronously(cloud, function)
        wait_until(lambda: _count_running(cloud, function) >= invocations, "the invocations under way", LONGEST_START_S)
        yield
    finally:
        over.set()
        thread.join()
        holder.release()


@dataclass
class StartHolder:
    """Stops a function's environments while they start, and undoes it where it came too late.

    On a busy machine an environment may be ready before it is stopped. It is let run then, because its invocation would
    end by the function's timeout. Once it is idle it is ended, and what it has answered is invoked again.
    """

    cloud: RunningCloud
    function: str
    _held: set[int] = field(default_factory=set)
    _answered: dict[int, int] = field(default_factory=dict)  # the invocations of environments that were ended, by pid

    def look(self) -> None:
        """Look at each environment once."""
        environments = list_environments(self.cloud)[self.function]
        for each in environments:
            pid, state = each["pid"], each["state"]
            if state == "starting" and pid not in self._held:
                self._held.add(pid)
                _send_signal(pid, signal.SIGSTOP)
            elif state == "busy":
                _send_signal(pid, signal.SIGCONT)
            elif state == "idle":
                self._answered[pid] = each["invocations"]
                _send_signal(pid, signal.SIGKILL)
        for pid in self._answered.keys() - {each["pid"] for each in environments}:
            for _ in range(self._answered.pop(pid)):
                _invoke_asynchronously(self.cloud, self.function)

    def release(self) -> None:
        """Let all of them run."""
        for pid in self._held:
            _send_signal(pid, signal.SIGCONT)


def _send_signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _end_environments(cloud: RunningCloud, function: str) -> None:
    """Kill a function's environments, and wait until none of them could be given an invocation."""
    ended = {each["pid"] for each in list_environments(cloud)[function]}
    for pid in ended:
        _send_signal(pid, signal.SIGKILL)
    wait_until(
        lambda: ended.isdisjoint(each["pid"] for each in list_environments(cloud)[function]),
        "the end of the environments",
        LONGEST_START_S,
    )


def _count_running(cloud: RunningCloud, function: str) -> int:
    status = httpx.get(f"{cloud.origin}/_local/status", timeout=30).json()
    return int(status["functions"][function]["in_flight"])


def _invoke_asynchronously(cloud: RunningCloud, function: str) -> None:
    url = f"{cloud.origin}/2015-03-31/functions/{function}/invocations"
    event = {"X-Amz-Invocation-Type": "Event"}
    httpx.post(url, content=read_event(function), headers=event, timeout=30).raise_for_status()


@dataclass
class StalledFunction:
    """A function whose environments stand still for `seconds` in each invocation, as long as the block lasts."""

    cloud: RunningCloud
    function: str
    seconds: float
    _stopped: dict[int, float | None] = field(default_factory=dict)  # pid: when its invocation began
    _served: set[int] = field(default_factory=set)  # that have stood still in their present invocation
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Begin to stop the environments."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Let all environments run."""
        self._over.set()
        self._thread.join()
        for pid in list(self._stopped):
            self._continue(pid)

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            now = time.monotonic()
            for environment in list_environments(self.cloud)[self.function]:
                self._look_at(environment["pid"], environment["state"], now)

    def _look_at(self, pid: int, state: str, now: float) -> None:
        """Stop an idle environment, so that it stands still from the begin of its next invocation; let it run later."""
        if state in ("idle", "busy") and pid not in self._stopped and pid not in self._served:
            self._stopped[pid] = None
            _send_signal(pid, signal.SIGSTOP)
        if state == "idle":
            self._served.discard(pid)
        elif state == "busy" and pid in self._stopped:
            began = self._stopped[pid]
            if began is None:
                self._stopped[pid] = now
            elif now - began >= self.seconds:
                self._continue(pid)
                self._served.add(pid)

    def _continue(self, pid: int) -> None:
        self._stopped.pop(pid)
        _send_signal(pid, signal.SIGCONT)


def find_control(cloud: RunningCloud, name: str) -> str:
    """Return the address of a part of the cloud."""
    return f"http://127.0.0.1:{StateFolder(ROOT, cloud.folder).read_state().ports[name]}"


@contextmanager
def fail_service(cloud: RunningCloud, service: str, code: str, *, status: int = 500, text: str = "") -> Iterator[None]:
    """Let a service of AWS's answer an error within the block; with `text`, to the requests that contain it alone.

    The end of the block ends the faults of all services.
    """
    url = f"{find_control(cloud, 'emulator')}/_local/faults"
    fault = {"service": service, "status": status, "code": code, "text": text}
    httpx.put(url, json=fault, timeout=30).raise_for_status()
    try:
        yield
    finally:
        httpx.delete(url, timeout=30).raise_for_status()


def age_messages(cloud: RunningCloud, queue: str, seconds: float) -> int:
    """Make the messages of a queue older by `seconds`; return how many there are."""
    stack = json.loads((cloud.folder / "stack.json").read_text(encoding="utf-8"))
    name = stack["outputs"][queue].rpartition("/")[2]
    url = f"{find_control(cloud, 'emulator')}/_local/age"
    answer = httpx.put(url, json={"queue": name, "seconds": seconds}, timeout=30)
    answer.raise_for_status()
    return int(answer.json()["aged"])


@contextmanager
def delay_database(cloud: RunningCloud, seconds: float) -> Iterator[None]:
    """Delay all data between functions and database by `seconds` within the block, each way."""
    url = f"{find_control(cloud, 'database_proxy_control')}/delay"
    httpx.put(url, json={"seconds": seconds}, timeout=30).raise_for_status()
    try:
        yield
    finally:
        httpx.put(url, json={"seconds": 0}, timeout=30).raise_for_status()


@contextmanager
def pin_sessions(cloud: RunningCloud, count: int) -> Iterator[None]:
    """Keep `count` sessions pinned to their server connections within the block: each prepares a statement."""
    port = StateFolder(ROOT, cloud.folder).read_state().ports["database_proxy"]
    authority = cloud.folder / "certificates/authority.pem"
    conninfo = (
        f"host=127.0.0.1 port={port} user=interdomestik_app dbname={DATABASE} sslmode=verify-full"
        f" sslrootcert={authority} connect_timeout={BORROW_TIMEOUT_S:.0f}"
    )
    with ExitStack() as sessions:
        for _ in range(count):
            session = sessions.enter_context(psycopg.connect(conninfo, autocommit=True))
            session.execute("PREPARE pinned AS SELECT 1")
        yield


def send_mails(cloud: RunningCloud, addresses: list[str]) -> None:
    """Send a mail to each address by SES, as another stack of the account does."""
    ses: Any = boto3.client(
        "sesv2",
        endpoint_url=find_control(cloud, "emulator"),
        region_name="eu-central-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    content = {"Simple": {"Subject": {"Data": "Hello"}, "Body": {"Text": {"Data": "Hello"}}}}
    for address in addresses:
        ses.send_email(
            FromEmailAddress="no-reply@interdomestik.test", Destination={"ToAddresses": [address]}, Content=content
        )
