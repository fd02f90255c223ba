"""Releases under the load of 50 users: a broken one is noticed and rolled back, and no write is lost or doubled.

Two seconds stand for a minute of the canary and of the alarms, which are the template's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.release.canary import ReleaseResult
from local.release.command import run_release
from local.stack import Stack
from local.state_folder import StateFolder
from tests.e2e.cloud import QUICK_MAIL, ROOT, RunningCloud, run_cloud, wait_until
from tests.measurements import record
from tests.rollback.broken_releases import make_release
from tests.rollback.registrations import USERS, RegistrationLoad
from tests.soak.soak_run import UNLIMITED
from tests.soak.verdict import list_differences, wait_until_drained

SEED = 20261126
MINUTE_S = 2.0
FUNCTION = "MembersFunction"


@dataclass
class Rehearsal:
    """A running cloud, in which one release after another is tried under load."""

    cloud: RunningCloud
    folder: Path
    results: dict[str, ReleaseResult] = field(default_factory=dict)
    reports: dict[str, list[str]] = field(default_factory=dict)
    tries: dict[str, dict[str, int]] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    writes: int = 0

    @property
    def state_folder(self) -> StateFolder:
        """The cloud's state."""
        return StateFolder(ROOT, self.cloud.folder)

    def release(self, broken: str) -> ReleaseResult:
        """Release the members' function, broken in a way, and keep how it ended."""
        code = make_release(self.folder / broken.replace(" ", "-"), "members", broken)
        self.reports[broken] = []
        self.results[broken] = run_release(
            self.state_folder, str(code), minute_s=MINUTE_S, report=self.reports[broken].append
        )
        return self.results[broken]

    def read_weights(self) -> dict[str, float]:
        """Return the share of the calls that each version gets now."""
        status = self.cloud.make_client().get(f"{self.cloud.origin}/_local/status").json()
        weights: dict[str, float] = status["functions"][FUNCTION]["weights"]
        return weights


BROKEN = ("does not start", "every write fails", "raises after the commit")


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """All releases, one after another, while 50 users register; then what they were answered is compared."""
    folder = tmp_path_factory.mktemp("rollback")
    with run_cloud(folder / "state", *QUICK_MAIL, "--parameter", f"Limits={UNLIMITED}") as cloud:
        rehearsed = Rehearsal(cloud, folder)
        load = RegistrationLoad(cloud, seed=SEED)
        load.start()
        wait_until(lambda: load.ledger.writes >= USERS, "a registration of each user")
        weights = {}
        for broken in (*BROKEN, "nothing"):
            before = load.ledger.tries.copy()
            rehearsed.release(broken)
            rehearsed.tries[broken] = dict(load.ledger.tries - before)
            weights[broken] = rehearsed.read_weights()
        load.stop()
        rehearsed.differences = list(list_differences(load.ledger, cloud, wait_until_drained(cloud)))
        rehearsed.writes = load.ledger.writes
        for broken in BROKEN:
            assert weights[broken] == {"1": 1.0}, f"after the release that {broken}, all calls reach the version before"
        assert weights["nothing"] == {"5": 1.0}
        yield rehearsed


def test_a_release_that_fails_its_check_gets_no_traffic(rehearsal: Rehearsal) -> None:
    """The hook invokes the version that does not start, and CodeDeploy is told so."""
    result = rehearsal.results["does not start"]
    assert (result.outcome, result.calls_seen) == ("refused", 0)
    assert set(rehearsal.tries["does not start"]) <= {"201", "429"}, "nobody noticed"
    log = (rehearsal.cloud.folder / "logs/PreTrafficFunction.log").read_text(encoding="utf-8")
    assert '"function": "members", "version": "2", "fault": "raised Runtime.ImportModuleError"' in log


@pytest.mark.parametrize(
    ("broken", "alarms"),
    [
        ("every write fails", {"MembersReleaseFailuresAlarm"}),
        ("raises after the commit", {"MembersReleaseErrorsAlarm"}),
    ],
)
def test_a_broken_release_is_rolled_back_before_most_calls_see_it(
    rehearsal: Rehearsal, broken: str, alarms: set[str]
) -> None:
    """By the alarm on the new version alone, while nine in ten calls reach the one before."""
    result = rehearsal.results[broken]
    assert (result.outcome, result.alarm in alarms) == ("rolled back", True), rehearsal.reports[broken]
    assert 1 <= result.calls_seen < result.calls_total / 2


def test_a_good_release_is_promoted_and_no_alarm_rings(rehearsal: Rehearsal) -> None:
    """After its canary, in which it had some of the calls and by far not all."""
    result = rehearsal.results["nothing"]
    assert (result.outcome, result.alarm) == ("promoted", ""), rehearsal.reports["nothing"]
    assert 1 <= result.calls_seen < result.calls_total / 2


def test_broken_releases_lose_no_write_and_double_none(rehearsal: Rehearsal) -> None:
    """Answers, rows, audit, jobs and mails agree, also of the calls that saw a broken release."""
    broken = [rehearsal.results[name] for name in BROKEN]
    record(
        "rollback",
        users=USERS,
        releases=len(rehearsal.results),
        minute_s=MINUTE_S,
        writes=rehearsal.writes,
        calls_seen=sum(result.calls_seen for result in broken),
        calls_total=sum(result.calls_total for result in broken),
        noticed_after_s=round(max(result.noticed_after_s or 0.0 for result in broken), 1),
        rolled_back_after_s=round(max(result.ended_after_s or 0.0 for result in broken), 1),
        wrong=len(rehearsal.differences),
    )
    assert rehearsal.differences == []
    assert rehearsal.writes > USERS


def test_the_alarms_of_a_release_are_those_of_the_template(rehearsal: Rehearsal) -> None:
    """The local cloud reads them from what was deployed, with the hook and the share of the calls."""
    stack = Stack.load(rehearsal.state_folder.stack)
    [group] = [each for each in stack.deployment_groups if each.function == FUNCTION]
    assert (group.hook, group.config) == ("PreTrafficFunction", "CodeDeployDefault.LambdaCanary10Percent10Minutes")
    assert set(group.alarms) == {
        "MembersReleaseErrorsAlarm",
        "MembersReleaseFailuresAlarm",
        "ServerErrorsAlarm",
        "LatencyAlarm",
        "PreTrafficErrorsAlarm",
    }
