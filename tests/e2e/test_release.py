"""A stack reports the release it runs, and the check after a deployment relies on that alone."""

import pytest

from tests.e2e.cloud import RELEASE, RunningCloud
from tools.release import NotReleased, check

ANOTHER = "ba9876543210"


def test_the_release_that_runs_is_found(cloud: RunningCloud) -> None:
    """Health's answer has it after the version."""
    assert check(cloud.url, RELEASE, within_s=0) == f"{cloud.url}/health reports version local+{RELEASE}"


def test_another_release_than_the_one_that_runs_is_reported(cloud: RunningCloud) -> None:
    """This finds a deployment that changed nothing that is called, and a stack that does not answer."""
    with pytest.raises(NotReleased, match=rf"reports version 'local\+{RELEASE}', not the release {ANOTHER}"):
        check(cloud.url, ANOTHER, within_s=0)
    with pytest.raises(NotReleased, match="none: HTTP Error 403"):
        check(f"{cloud.origin}/nothing", RELEASE, within_s=0)
