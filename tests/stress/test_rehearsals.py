"""The conclusions of the scenarios of deployment and restore from the output of commands."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stress.fixtures import FixtureError
from stress.profiles import CONTROL, FULL, SHORT
from stress.releases import CHANGES, FAILING, read_outcome, write_release
from stress.run import REHEARSALS, SCENARIOS, choose_scenarios
from stress.scenarios.restored_day import IDLE_S, RestoredDay
from stress.scenarios.restored_effects import rename_members
from tests.services import ROOT
from tests.stress.calls import make_call, make_sample

ROLLED_BACK = [
    (1.0, "published MembersFunction 3"),
    (2.0, "PreTrafficFunction says Succeeded (an-execution)"),
    (2.5, "10% of the calls reach the new versions for 20 s"),
    (4.7, "MembersReleaseFailuresAlarm rings after 2.1 s: rolled back after 2.2 s"),
    (4.8, "rolled back; 4 of 31 calls saw the new versions"),
]


def test_a_release_that_was_rolled_back_is_timed_by_what_was_said_when() -> None:
    """The times are those of the run's clock, not the command's own figures."""
    found = read_outcome(ROLLED_BACK, 0.5, 5.0)
    assert (found.outcome, found.alarm) == ("rolled back", "MembersReleaseFailuresAlarm")
    assert (found.shared_s, found.rang_s, found.ended_s) == (2.5, 4.7, 5.0)
    assert (found.calls_seen, found.calls) == (4, 31)


def test_a_release_that_was_refused_or_promoted_rang_nothing() -> None:
    """A refused one was never shared."""
    refused = read_outcome([*ROLLED_BACK[:1], (2.0, "refused; 0 of 0 calls saw the new versions")], 0.5, 2.1)
    assert (refused.outcome, refused.shared_s, refused.rang_s, refused.alarm) == ("refused", 0.0, 0.0, "")
    promoted = read_outcome([*ROLLED_BACK[:3], (22.5, "promoted; 9 of 90 calls saw the new versions")], 0.5, 22.6)
    assert (promoted.outcome, promoted.shared_s, promoted.alarm) == ("promoted", 2.5, "")


def test_a_command_that_broke_off_has_no_outcome() -> None:
    """Its output is kept."""
    found = read_outcome([(1.0, "Traceback"), (1.1, "OSError: no gateway")], 0.5, 1.2)
    assert (found.outcome, found.output) == ("unknown", "Traceback\nOSError: no gateway")


@pytest.mark.parametrize("change", CHANGES)
def test_a_release_is_the_code_with_a_change(change: str, tmp_path: Path) -> None:
    """Nothing of an earlier one is left in its folder."""
    left = tmp_path / "functions/members/left.py"
    left.parent.mkdir(parents=True)
    left.touch()
    write_release(ROOT, tmp_path, CHANGES[change])
    handler = "functions/members/members/app.py"
    assert not left.exists()
    assert (tmp_path / handler).read_text() == (ROOT / handler).read_text() + CHANGES[change]


def test_a_failing_release_replaces_what_the_handler_calls() -> None:
    """A change of something that nobody calls would break nothing."""
    assert "service.register_member" in CHANGES[FAILING]
    assert "service.register_member" in (ROOT / "functions/members/members/app.py").read_text()


def test_a_short_run_leaves_the_rehearsals_out_unless_it_is_asked_for_them() -> None:
    """The others have them all."""
    assert choose_scenarios(FULL) == choose_scenarios(CONTROL) == list(SCENARIOS)
    assert choose_scenarios(SHORT) == [key for key in SCENARIOS if key not in REHEARSALS]
    assert choose_scenarios(SHORT, ["restore", "pool"]) == ["pool", "restore"]


def test_the_calls_of_a_lost_member_count_for_the_member_who_registered_again() -> None:
    """Their account has another id since."""
    call = make_call("register", key="a")
    lost, again = make_sample(call, id="old"), make_sample(call, id="new")
    claim = make_sample(make_call("claim", facts={"member": "old"}), id="c")
    other = make_sample(make_call("claim", key="b", facts={"member": "kept"}), id="d")
    assert rename_members([again, claim, other], [lost]) == [
        again, replace(claim, call=replace(claim.call, facts={"member": "new"})), other
    ]  # fmt: skip


def wait_for_answers(unkept: Sequence[int]) -> None:
    """Wait for answers; `unkept` says how many are not kept at each look and at all that follow. Three looks fit."""
    left, now = list(unkept), [0.0]

    async def query_rows(_query: str) -> list[dict[str, int]]:
        now[0] += IDLE_S / 3
        return [{"n": left.pop(0) if len(left) > 1 else left[0]}]

    queue = SimpleNamespace(send_message=lambda **_message: None)
    aws = SimpleNamespace(make_client=lambda _service: queue, outputs={"NudgeQueue": "queue"})
    clock = SimpleNamespace(read_now=lambda: now[0])
    own: Any = SimpleNamespace(
        target=SimpleNamespace(aws=aws, query_rows=query_rows), generator=SimpleNamespace(clock=clock)
    )
    asyncio.run(RestoredDay(own).wait_for_answers())


def test_no_restore_is_judged_whose_answers_were_not_kept() -> None:
    """Its lost writes can't be told; the scenario ends and says why."""
    wait_for_answers([2, 1, 0])
    with pytest.raises(FixtureError, match="has not kept all answers"):
        wait_for_answers([1])
