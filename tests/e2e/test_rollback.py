"""Releases under the load of 50 users: a broken one is noticed and rolled back, and nothing is lost or done twice.

The short form; tests/chaos/test_rollback.py has all releases. Which alarms a broken version of each function rings:
tests/e2e/test_release_alarms.py.
"""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.measurements import record
from tests.rollback.rehearsal import SHORT, PlannedRelease, Rehearsal, run_rehearsal
from tests.rollback.visitors import READ, USERS

REFUSED, *ROLLED_BACK = SHORT


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """All releases, one after another, while 50 users register and read."""
    with run_rehearsal(tmp_path_factory.mktemp("rollback"), SHORT) as rehearsed:
        yield rehearsed


def test_a_release_that_fails_its_check_gets_no_traffic(rehearsal: Rehearsal) -> None:
    """The hook invokes the version that does not start, and CodeDeploy is told so."""
    result = rehearsal.results[REFUSED.name]
    assert (result.outcome, result.calls_seen) == ("refused", 0)
    assert set(rehearsal.tries[REFUSED.name]) <= {"201", "429", f"{READ}200", f"{READ}429"}, "nobody noticed"
    log = (rehearsal.cloud.folder / "logs/PreTrafficFunction.log").read_text(encoding="utf-8")
    assert '"function": "members", "version": "2", "fault": "raised Runtime.ImportModuleError"' in log


@pytest.mark.parametrize("planned", ROLLED_BACK, ids=lambda planned: planned.name)
def test_a_broken_release_is_rolled_back_by_the_alarm_on_its_version(
    rehearsal: Rehearsal, planned: PlannedRelease
) -> None:
    """While nine in ten calls reach the one before."""
    result = rehearsal.results[planned.name]
    assert (result.outcome, result.alarm) == ("rolled back", planned.alarm), rehearsal.reports[planned.name]


def test_broken_releases_lose_no_write_double_none_and_tell_nobody(rehearsal: Rehearsal) -> None:
    """Answers, rows, audit, jobs and mails agree, also of what met a broken release. Most calls did not.

    A release alone may meet so few calls that none of them, or half of them, saw it: the bar is on their sum.
    """
    figures = rehearsal.list_figures()
    record("rollback", **figures)
    assert rehearsal.differences == []
    assert rehearsal.misplaced == {}, "an alias is not where it was before"
    assert rehearsal.told == []
    assert figures["given_up"] == 0
    assert rehearsal.writes > USERS
    seen, total = (sum(getattr(r, of) for r in rehearsal.list_rolled_back()) for of in ("calls_seen", "calls_total"))
    assert 1 <= seen < total / 2


@pytest.mark.parametrize("name", ["Members", "Worker"])
def test_the_alarms_of_a_release_are_those_of_the_template(rehearsal: Rehearsal, name: str) -> None:
    """The local cloud reads them from what was deployed, with the hook and the share of the calls."""
    stack = Stack.load(rehearsal.state_folder.stack)
    [group] = [each for each in stack.deployment_groups if each.function == f"{name}Function"]
    assert (group.hook, group.config) == ("PreTrafficFunction", "CodeDeployDefault.LambdaCanary10Percent10Minutes")
    of_the_api = {"ServerErrorsAlarm", "LatencyAlarm"} if name != "Worker" else set()
    own = {f"{name}ReleaseErrorsAlarm", f"{name}ReleaseFailuresAlarm"}
    assert set(group.alarms) == own | of_the_api | {"PreTrafficErrorsAlarm"}
