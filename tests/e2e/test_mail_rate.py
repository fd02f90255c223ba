"""Mail at the rate of a stack as deployed: one a second, as SES's sandbox takes them. No parameter is overridden."""

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from statistics import median

import pytest

from local.stack import Stack
from local.state_folder import StateFolder
from tests.e2e.cloud import ROOT, RunningCloud, run_cloud, wait_until
from tests.e2e.cloud_users import CloudUsers
from tests.measurements import record

FLOOD = 120
# How many low mails leave before somebody registers.
HEAD_START = 4
# Mails a second, so low ones leave an interval of 1 s apart; a slow machine may need as long for a mail's way.
RATE = 1.0
LOOK_S = 0.02
TIMES = 5
# The pause between two registrations, in which the burst recovers what they took of it.
PAUSE_S = 1.5 / RATE

INSERT = """
INSERT INTO outbox (id, kind, priority, subject_id, payload)
SELECT gen_random_uuid(), 'mail', 'low', id,
       jsonb_build_object('template', 'member-welcome', 'to', 'account:' || id, 'facts', '{}'::jsonb)
FROM accounts, generate_series(1, %s) WHERE email = %s
"""
SENT = "SELECT updated_at FROM outbox WHERE priority = 'low' AND state = 'done' ORDER BY updated_at"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Yield a cloud as `make up` starts it."""
    with run_cloud(tmp_path_factory.mktemp("cloud")) as started:
        yield started


def test_the_local_cloud_has_the_templates_rate(cloud: RunningCloud) -> None:
    """The measurements here are therefore of the deployed rate."""
    worker = Stack.load(StateFolder(ROOT, cloud.folder).stack).find_function("WorkerFunction")
    found = {name: worker.environment[name] for name in ("MAIL_RATE", "MAIL_BURST")}
    assert found == {"MAIL_RATE": "1", "MAIL_BURST": "4"}


def test_a_welcome_mail_passes_a_flood_of_low_ones_and_these_leave_at_the_rate(cloud: RunningCloud) -> None:
    """It takes at most twice as long as alone, although a low mail has left within the second before."""
    people = CloudUsers(cloud)
    first = people.register()
    wait_until(lambda: cloud.list_mails(first["email"]), "the welcome mail")
    alone_s = [_welcomed_after(cloud, people) for _ in range(TIMES)]
    cloud.query_rows(INSERT, FLOOD, first["email"])
    people.register()  # its commit wakes the relay
    wait_until(lambda: len(cloud.query_rows(SENT)) >= HEAD_START, "the first low mails")
    behind_s = [_welcomed_after(cloud, people) for _ in range(TIMES)]
    sent = [row["updated_at"] for row in cloud.query_rows(SENT)]
    assert len(sent) < FLOOD / 2, "the flood is still there"
    assert median(behind_s) <= 2 * median(alone_s), (alone_s, behind_s)
    _judge_rate(cloud, sent)
    record("mail_rate_as_deployed", alone_s=round(median(alone_s), 2), behind_s=round(median(behind_s), 2), flood=FLOOD)


def _welcomed_after(cloud: RunningCloud, users: CloudUsers) -> float:
    time.sleep(PAUSE_S)
    began = time.monotonic()
    email = users.register()["email"]
    while not cloud.list_mails(email):
        time.sleep(LOOK_S)
        assert time.monotonic() - began < FLOOD, "not welcomed"
    return time.monotonic() - began


def _judge_rate(cloud: RunningCloud, before: list[datetime]) -> None:
    """Low mails go on, and no faster than one a second: half a dozen more, each settled right after it left."""
    sent: list[datetime] = wait_until(
        lambda: s if len(s := [row["updated_at"] for row in cloud.query_rows(SENT)]) >= len(before) + 6 else None,
        "low mails",
        20.0,
    )
    later = sent[len(before) :]
    assert (later[-1] - later[0]).total_seconds() >= (len(later) - 1) / RATE - 0.5
    assert all(one < other for one, other in pairwise(sent))
