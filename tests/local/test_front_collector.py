"""The front page's collector: what it joins to a view and a trace, and what it says of what is too much or busy."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from local.front import collector
from local.front.collector import CommandRefused, FrontCollector
from local.front.database import DatabaseReader
from local.front.emulator_reader import EmulatorReader
from local.front.model import PARTS, DatabaseAccess, TraceView
from local.inbox.messages import InboxMessage
from local.runtime.invocation import FunctionInvocation, InvocationOutcome, ThrottledError
from local.runtime.versions import FunctionFleet
from tests.local.test_front_logs import write_access, write_call, write_line

LIST = "circuits"  # the command and the name of its answer, no setting
CIRCUIT = {
    "state": "closed", "forced": False, "since": None, "probe_at": None, "failures": 2, "generation": 0,
    "held_jobs": 0, "oldest_held_s": 0.0, "held_until": None,
}  # fmt: skip


class ScriptedOperations:
    """An operations function that is busy for a number of calls, then gives its answer."""

    def __init__(self, payload: object, *, busy: int = 0, error: str | None = None, takes_s: float = 0) -> None:
        self.outcome = InvocationOutcome(json.dumps(payload).encode(), error)
        self.busy = busy
        self.takes_s = takes_s
        self.answered = 0
        self.commands: list[Any] = []

    async def invoke(self, invocation: FunctionInvocation) -> InvocationOutcome:
        """Answer one invocation."""
        self.commands.append(json.loads(invocation.payload))
        if self.busy:
            self.busy -= 1
            raise ThrottledError("AdminFunction")
        await asyncio.sleep(self.takes_s)
        self.answered += 1
        return self.outcome

    def read_status(self) -> dict[str, Any]:
        """Return the status of environments, of which one has answered."""
        idle = {"pid": 7, "state": "idle", "invocations": 3}
        return {
            "limit": 1,
            "in_flight": 0,
            "throttles": 0,
            "environments": [idle, {**idle, "pid": None, "state": "starting"}],
        }


class ScriptedFleet:
    """A fleet of the operations function alone."""

    def __init__(self, operations: ScriptedOperations) -> None:
        self.pools = {"AdminFunction": operations}


def make_collector(logs: Path, operations: ScriptedOperations, *mails: InboxMessage) -> FrontCollector:
    """Return a collector without database and emulator."""

    async def read_inbox() -> list[InboxMessage]:
        return list(mails)

    fleet = cast("FunctionFleet", ScriptedFleet(operations))
    return FrontCollector(logs, fleet, read_inbox, DatabaseReader(""), EmulatorReader("http://127.0.0.1:9"))


def make_mail(**headers: str) -> InboxMessage:
    """Return a mail with headers of its sender's."""
    return InboxMessage(
        "m1", "desk", ["a@example.test", "b@example.test"], "Hello", "", "", "2026-11-27T12:50:10.000Z", headers
    )


def trace(found: FrontCollector, wanted: str) -> TraceView:
    """Return the trace of an id."""
    return asyncio.run(found.trace(wanted))


def test_a_view_reads_circuits_by_the_operators_command(tmp_path: Path) -> None:
    """It waits while another command runs; environments that start have no process yet."""
    operations = ScriptedOperations({LIST: {"storage": CIRCUIT, "email": {**CIRCUIT, "forced": True}}}, busy=2)
    view = asyncio.run(make_collector(tmp_path, operations).collect())
    assert operations.commands == [{"command": LIST}] * 3
    assert [(line.name, line.forced, line.since, line.failures) for line in view.circuits.found] == [
        ("email", True, "", 2), ("storage", False, "", 2),
    ]  # fmt: skip
    [environment] = view.environments.found
    assert (environment.states, environment.pids, environment.invocations) == ({"idle": 1, "starting": 1}, [7], 6)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_by_itself_is_what_the_whole_view_has_of_it(tmp_path: Path, part: str) -> None:
    """And nothing is read that only other parts show: the operations function is invoked for the circuits alone."""
    write_access(tmp_path, 1)
    write_call(tmp_path, 1)
    operations = ScriptedOperations({LIST: {"storage": CIRCUIT}})
    mails = [replace(make_mail(**{"X-Request-Id": "r1"}), id=f"m{number}") for number in range(20)]
    found = make_collector(tmp_path, operations, *mails)
    by_itself = asyncio.run(found.collect_part(part))
    assert operations.commands == ([{"command": LIST}] if part == LIST else [])
    assert by_itself == getattr(asyncio.run(found.collect()), part)
    answers = {"requests", "circuits", "environments", "mails"}
    assert isinstance(by_itself, DatabaseAccess) or bool(by_itself.found) == (part in answers), "an empty part is equal"


def test_a_part_of_the_page_asks_only_its_own_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator for its queues, the database for its jobs: each once, and nobody for the rest."""
    asked: list[str] = []

    def replace_by_note(owner: type, name: str) -> None:
        def note(*_: object) -> list[Any]:
            asked.append(name)
            return []

        monkeypatch.setattr(owner, name, note)

    for name in ("count_jobs", "list_unfinished_jobs", "list_jobs"):
        replace_by_note(DatabaseReader, name)
    for name in ("list_queues", "list_alarms"):
        replace_by_note(EmulatorReader, name)
    for part, wanted in {
        "outbox": ["count_jobs"], "jobs": ["list_unfinished_jobs"], "queues": ["list_queues"],
        "alarms": ["list_alarms"], "requests": ["list_jobs"], "circuits": [], "environments": [], "mails": [],
        "database": [],
    }.items():  # fmt: skip
        asked.clear()
        asyncio.run(make_collector(tmp_path, ScriptedOperations({LIST: {}})).collect_part(part))
        assert (part, asked) == (part, wanted)


def test_a_command_that_is_refused_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view says it of its part; a form passes it on; a function that stays busy is no refusal."""
    refusing = ScriptedOperations({"errorMessage": "the state table did not answer"}, error="Unhandled")
    with pytest.raises(CommandRefused, match="state table did not answer"):
        asyncio.run(make_collector(tmp_path, refusing).run_command({"command": "force-circuit"}))
    view = asyncio.run(make_collector(tmp_path, refusing).collect())
    assert view.circuits.problem == "the state table did not answer"
    monkeypatch.setattr(collector, "BUSY_S", 0.1)
    with pytest.raises(OSError, match="AdminFunction is busy"):
        asyncio.run(make_collector(tmp_path, ScriptedOperations({}, busy=1000)).run_command({}))


def test_a_part_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page comes without it; the invocation goes on to its end, since an environment can't be interrupted."""
    monkeypatch.setattr(collector, "PART_LIMIT_S", 0.1)
    slow = ScriptedOperations({LIST: {}}, takes_s=0.3)

    async def collect() -> str:
        view = await make_collector(tmp_path, slow).collect()
        assert view.environments.found
        await asyncio.sleep(0.5)
        return view.circuits.problem

    assert asyncio.run(collect()) == "no answer within 0 s"
    assert slow.answered == 1


def test_a_trace_joins_logs_and_mails_in_the_order_of_their_times(tmp_path: Path) -> None:
    """What the database would add is named as missing."""
    write_access(tmp_path, 1)
    write_call(tmp_path, 1)
    found = trace(make_collector(tmp_path, ScriptedOperations({}), make_mail(**{"X-Request-Id": "r1"})), "t1")
    assert [step.kind for step in found.steps.found] == ["gateway", "log", "mail"]
    assert found.steps.problem == "this gateway was started without a database"
    assert found.requests[0].mails[0].to == "a@example.test, b@example.test"
    other = trace(make_collector(tmp_path, ScriptedOperations({}), make_mail(**{"X-Request-Id": "r2"})), "r1")
    assert [step.kind for step in other.steps.found] == ["gateway", "log"]


def test_a_trace_of_a_load_test_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says that it was cut."""
    monkeypatch.setattr(collector, "MOST_STEPS", 3)
    for number in range(5):
        line = {"message": f"line {number}", "timestamp": f"2026-11-27T12:50:0{number}.000Z", "trace_id": "t"}
        write_line(tmp_path / "WorkerFunction.log", line)
    found = trace(make_collector(tmp_path, ScriptedOperations({})), "t")
    assert [step.text for step in found.steps.found] == ["line 0", "line 1", "line 2"]
    assert found.steps.problem.endswith("there are 5 steps, of which the first 3 are shown")
