"""A few users on a real local cloud: every call is counted, every part's processor time is found, refusals say when."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bench.capacity.clouds import LoadedCloud, run_loaded_cloud
from bench.capacity.earlier import ENVIRONMENTS, CommitMissing, extract_commit, read_earlier_commit
from bench.capacity.figures import judge_count
from bench.capacity.processor_time import GROUPS
from bench.capacity.refusals import cause_refusals, describe_refusals
from bench.capacity.results import build_curve, describe_levels
from bench.capacity.turns import count_environments, run_rounds, warm_up
from bench.capacity.users import make_pauses
from stress.git_reader import read_git
from stress.ledger import CallSample
from stress.load_generator import RunClock
from tests.services import ROOT

MEMBERS = 6
LEVELS = (1, 4)
CONCURRENCY = "/2017-10-31/functions/ClaimsFunction/concurrency"


def ignore(_: object) -> None:
    """Show no progress."""


def run_on_cloud(folder: Path, work: Callable[[LoadedCloud], Awaitable[Any]]) -> Any:
    """Return what the work on a cloud of its own returns."""

    async def run() -> Any:
        running = run_loaded_cloud("present", ROOT, folder, members=MEMBERS, seed=1, clock=RunClock(), on_sample=ignore)
        async with running as loaded:
            return await work(loaded)

    return asyncio.run(run())


async def measure(loaded: LoadedCloud) -> dict[str, Any]:
    """Return all that is asserted below, measured on one cloud."""
    warmed = await warm_up(loaded, make_pauses(), users=4, limit_s=5, seed=1, report=ignore)
    rounds = await run_rounds(loaded, random.Random(1), levels=LEVELS, limit_s=1, rounds=5, report=ignore)
    refused = await cause_refusals(loaded)
    await loaded.cloud.http("PUT", loaded.cloud.origin + CONCURRENCY, {"ReservedConcurrentExecutions": 0})
    broken = await run_rounds(loaded, random.Random(2), levels=(4,), limit_s=1, rounds=1, report=ignore)
    return {
        "warmed": warmed,
        "environments": await count_environments(loaded),
        "rounds": rounds,
        "refused": refused,
        "broken": broken,
    }


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a few users and a broken cloud have shown."""
    found: dict[str, Any] = run_on_cloud(tmp_path_factory.mktemp("capacity") / "state", measure)
    return found


def test_rounds_end_at_their_limit_with_a_turn_of_each_number_of_users(measured: dict[str, Any]) -> None:
    [turns] = measured["rounds"]  # more would not end within a second
    assert [turn.users for turn in turns] == list(LEVELS)


def test_every_call_of_a_turn_is_counted_and_served(measured: dict[str, Any]) -> None:
    [turns] = measured["rounds"]
    assert all(turn.calls and call.is_accepted for turn in turns for call in turn.calls)
    levels = describe_levels(measured["rounds"], build_curve(measured["rounds"]))
    assert [level["calls"] for level in levels] == [len(turn.calls) for turn in turns]
    assert all(level["a_second"]["served"] > 0 for level in levels)
    assert all(level["a_second"][name] == 0 for level in levels for name in ("429", "503", "other"))


def test_every_part_has_processor_time(measured: dict[str, Any]) -> None:
    """The jobs' environments may rest in a turn without a write."""
    [turns] = measured["rounds"]
    times = {group: sum(turn.processor_s[group] for turn in turns) for group in GROUPS}
    assert [group for group, seconds in times.items() if seconds == 0 and group != "jobs"] == []


def test_warming_up_has_started_the_environments(measured: dict[str, Any]) -> None:
    assert 0 < measured["warmed"] <= measured["environments"]


def test_refusals_on_purpose_are_of_both_kinds_and_say_when_to_come_again(measured: dict[str, Any]) -> None:
    found = describe_refusals(measured["refused"])
    assert found["429"] > 0
    assert found["503"] > 0
    assert (found["without_retry_after"], found["unexplained"]) == (0, {})


def test_a_function_without_room_fails_the_bar_of_other_answers(measured: dict[str, Any]) -> None:
    """API Gateway answers 502 then, which names no moment to come again."""
    calls: list[CallSample] = [call for turns in measured["broken"] for turn in turns for call in turn.calls]
    unexplained = sum(describe_refusals(calls)["unexplained"].values())
    assert unexplained > 0
    assert judge_count("other answers", unexplained)["outcome"] == "FAIL"


def test_the_earlier_commit_is_in_the_repository_and_its_code_is_whole(tmp_path: Path) -> None:
    commit = read_earlier_commit()
    if not read_git(ROOT, "cat-file", "-t", commit):
        pytest.skip("this clone has only the newest commits")
    code = extract_commit(commit, tmp_path)
    assert (code / "template.yaml").is_file()
    assert (code / "local/__main__.py").is_file()
    assert {link.name for link in (code / ".venvs").iterdir() if link.is_symlink()} == set(ENVIRONMENTS)
    assert extract_commit(commit, tmp_path) == code, "a second run takes the same folder"


def test_a_commit_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommitMissing, match="0123456"):
        extract_commit("0123456789012345678901234567890123456789", tmp_path)
