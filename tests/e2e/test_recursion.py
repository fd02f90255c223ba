"""Jobs that go round before open circuits, in a real local cloud whose runtime stops loops as Lambda does.

In real time, with circuits that open for a second instead of 60: a minute has some twenty rounds. The deployed figures
are in tests/integration/jobs/test_recursion.py, in virtual time.
"""

import json
import time
from pathlib import Path

import pytest

from tests.e2e.cloud import QUICK_MAIL, run_cloud, wait_until
from tests.e2e.cloud_users import CloudUsers
from tests.e2e.test_circuits import check_chains, force

CIRCUITS = {"email": {"open_s": 1}, "identity": {"open_s": 1}}
ROUNDS_S = 60.0
RECOVERY_S = 150.0  # the relay's schedule, twice, and a slow machine


@pytest.mark.long
def test_a_minute_of_quick_rounds_stops_nothing_and_every_mail_leaves_once(tmp_path: Path) -> None:
    """Operators hold both circuits open meanwhile; relay and worker would wake each other some twenty times."""
    parameter = f"Circuits={json.dumps(CIRCUITS)}"
    with run_cloud(tmp_path / "cloud", *QUICK_MAIL, "--parameter", parameter) as cloud:
        for name in CIRCUITS:
            force(cloud, name, "open")
        members = [CloudUsers(cloud).register() for _ in range(3)]
        time.sleep(ROUNDS_S)
        for name in CIRCUITS:
            force(cloud, name, "auto")
        left = "SELECT count(*) AS n FROM outbox WHERE state <> 'done'"
        assert wait_until(lambda: cloud.query_rows(left)[0]["n"] == 0, "every job done", RECOVERY_S)
        assert [len(cloud.list_mails(member["email"])) for member in members] == [1, 1, 1]
        check_chains(cloud)
