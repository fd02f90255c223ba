"""Alarms on the schedules and on the database's server and conflicts, rung on a cloud of their own, with a standby.

Its schedules run as often as the alarms' shortened periods want, and are switched off and on.
"""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from local.events.schedules import FILE
from local.postgres import DATABASE, SUPERUSER
from local.state_folder import StateFolder
from tests.alarms.declared_troubles import TROUBLES
from tests.alarms.troubles import find_control
from tests.alarms.watched_cloud import MINUTE_S, PERIOD_MINUTES, WatchedCloud
from tests.e2e.cloud import QUICK_MAIL, ROOT, RunningCloud, get_next_serial, run_cloud, wait_until
from tests.e2e.cloud_users import CloudUsers
from tests.sample_people import make_claim_body
from tests.settings.alarms import ALARMS

pytestmark = pytest.mark.long

# What stands for a minute and for an hour where a schedule runs.
EVERY_S = {"RelayFunction": MINUTE_S, "HousekeepingFunction": PERIOD_MINUTES[3600] * MINUTE_S}
# Somewhat longer than the alarms on schedules need.
SILENT_RELAY_MINUTES, SILENT_HOURS = 12, 5
CONFLICTS, SILENT_RELAY = "two use cases meet at the same rows again and again", "the relay's schedule is off"
PAIRS = 6  # of a call and its rival: some retries a second, where one is too many
NEVER = "1h"  # a rival never gives way
BLOCKED_BY = "SELECT FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
STALE = '"999"'  # so that a call changes nothing when it gets through


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedCloud]:
    """Yield the cloud when its schedules have run often enough for every alarm on them."""
    folder = tmp_path_factory.mktemp("platform")
    switch_schedules(folder)
    with run_cloud(folder, *QUICK_MAIL, "--standby", "--minute", str(MINUTE_S)) as started:
        watched = WatchedCloud(started, runs_schedules=True)
        with watched.report_health():
            watched.watch(PERIOD_MINUTES[3600])
            yield watched


def switch_schedules(folder: Path, *off: str) -> None:
    """Let all schedules run but these."""
    states = {name: {"every_s": s, "state": "DISABLED" if name in off else "ENABLED"} for name, s in EVERY_S.items()}
    (folder / FILE).write_text(json.dumps(states), encoding="utf-8")


def test_housekeeping_that_stands_still_rings_until_it_runs_again(platform: WatchedCloud) -> None:
    """The alarm on its schedule rings, and no other."""
    began = platform.align(3600)
    switch_schedules(platform.cloud.folder, "HousekeepingFunction")
    platform.watch(SILENT_HOURS * PERIOD_MINUTES[3600])
    switch_schedules(platform.cloud.folder)
    platform.check_trouble("the schedule of housekeeping is off", began=began)


@dataclass(frozen=True)
class Conflict:
    """A call that changes a claim, and a rival transaction that takes the same two rows in the other order."""

    cloud: RunningCloud
    client: httpx.Client
    claim: str
    account: str

    def run(self, over: threading.Event) -> int:
        """Meet again and again until it is over; return how often."""
        met = 0
        with self._connect() as rival, self._connect() as observer, ThreadPoolExecutor(1) as calls:
            observer.autocommit = True
            while not over.is_set():
                rival.execute(f"SET LOCAL deadlock_timeout = '{NEVER}'")
                rival.execute("SELECT FROM claims WHERE id = %s FOR UPDATE", (self.claim,))
                call = calls.submit(self._change_claim)
                wait_until(
                    lambda: observer.execute(BLOCKED_BY, (rival.info.backend_pid,)).fetchall(), "the call's wait"
                )
                rival.execute("SELECT FROM accounts WHERE id = %s FOR UPDATE", (self.account,))  # until it gives way
                rival.rollback()
                assert call.result() == httpx.codes.PRECONDITION_FAILED
                met += 1
        return met

    def _change_claim(self) -> int:
        body = {"to": "verification", "reason": "As agreed."}
        path = f"/claims/{self.claim}/transitions"
        return self.client.post(path, json=body, headers={"If-Match": STALE}).status_code

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        port = StateFolder(ROOT, self.cloud.folder).read_state().ports["postgres"]
        return psycopg.connect(f"host=127.0.0.1 port={port} user={SUPERUSER} dbname={DATABASE}")


@contextmanager
def run_conflicts(conflicts: list[Conflict]) -> Iterator[None]:
    """Let these conflicts happen within the block."""
    over = threading.Event()
    with ThreadPoolExecutor(len(conflicts)) as pool:
        running = [pool.submit(conflict.run, over) for conflict in conflicts]
        try:
            yield
        finally:
            over.set()
        assert min(each.result() for each in running) > 1


def make_conflict(cloud: RunningCloud) -> Conflict:
    """Return a conflict about a claim of its own, with a member of staff of its own."""
    _, member = CloudUsers(cloud).make_member()
    claim = member.post("/claims", json=make_claim_body(), headers={"Idempotency-Key": f"claim-{get_next_serial()}"})
    email = f"rival.{get_next_serial()}@example.test"
    staff = cloud.make_client(token=cloud.get_token(role="staff", email=email))
    assert staff.get("/claims").status_code == httpx.codes.OK  # a first call writes to the account
    [account] = cloud.query_rows("SELECT id FROM accounts WHERE email = %s", email)
    return Conflict(cloud, staff, claim.json()["id"], str(account["id"]))


def count_retries(cloud: RunningCloud) -> int:
    """Return the retries of the last minute, as health reports them."""
    return int(cloud.make_client().get("/health/deep").json()["transaction_retries"]["last_minute"] or 0)


def promote_standby(cloud: RunningCloud) -> None:
    """Make the standby the writer, and redirect all clients to it."""
    port = StateFolder(ROOT, cloud.folder).read_state().ports["standby"]
    with psycopg.connect(f"host=127.0.0.1 port={port} user={SUPERUSER} dbname={DATABASE}", autocommit=True) as standby:
        standby.execute("SELECT pg_promote()")
    target = f"{find_control(cloud, 'database_proxy_control')}/target"
    httpx.put(target, json={"port": port}, timeout=30).raise_for_status()


def test_repeated_transactions_a_silent_relay_and_another_writer_ring_each_by_its_own_alarm(
    platform: WatchedCloud,
) -> None:
    """Three troubles of which none touches another's metric. The last test of this cloud: its first writer is gone.

    The retries are of deadlocks: the server ends the call's transaction, which gets through at its next try, so no call
    fails.
    """
    cloud, most = platform.cloud, ALARMS["TransactionRetriesAlarm"].threshold
    conflicts = [make_conflict(cloud) for _ in range(PAIRS)]
    began = platform.align()
    with run_conflicts(conflicts):
        wait_until(lambda: count_retries(cloud) >= most, "the retries of a minute")
        ended = platform.watch(ALARMS["TransactionRetriesAlarm"].datapoints[0] + 2)
    assert platform.judge_alarms(began=began, ended=ended)[0] == TROUBLES[CONFLICTS].rings
    switch_schedules(cloud.folder, "RelayFunction")
    wait_until(lambda: count_retries(cloud) < most, "the end of the retries")
    began = platform.align()
    ended = platform.watch(SILENT_RELAY_MINUTES)
    assert platform.judge_alarms(began=began, ended=ended)[0] == TROUBLES[SILENT_RELAY].rings
    switch_schedules(cloud.folder)
    platform.watch(6)
    began = platform.align()
    promote_standby(cloud)
    platform.check_trouble("another server becomes the writer", began=began)
