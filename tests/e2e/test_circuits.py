"""Operators see and force the deployed circuits, and the functions go by it."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from local.events.schedules import FILE, LOOK_S
from tests.e2e.cloud import RunningCloud, wait_until
from tests.e2e.cloud_users import CloudUsers
from worker.job_runner import MOST_HOPS

LEAVES_WITHIN_S = 3.0  # from the command's end; without it the mail would leave a minute after it was put off
# On a machine that does much else; tests/settings/test_released_mails.py adds up the waits that do not depend on it. A
# mail that nobody lets go leaves a minute after it was put off.
LEAVES_ON_A_BUSY_MACHINE_S = 20.0
LEAVES_NOW = re.compile(r"1 waiting job leaves now\.|\d+ waiting jobs leave now: one first, as the probe; ")


def states(cloud: RunningCloud) -> dict[str, str]:
    """Return the states that `make circuits` prints, by circuit."""
    done = cloud.run_command("circuits")
    assert done.returncode == 0, done.stderr
    _, *rows = (line.split() for line in done.stdout.splitlines())
    return {row[0]: row[1] for row in rows}


def force(cloud: RunningCloud, name: str, to: str) -> str:
    """`make circuits NAME=… FORCE=…`; return what it prints last: when the waiting jobs leave."""
    done = cloud.run_command("circuits", "--name", name, "--force", to)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_mails_wait_while_operators_hold_their_circuit_open(cloud: RunningCloud, users: CloudUsers) -> None:
    """The registration is answered as usual and no attempt is counted; the mail leaves when the circuit is released.

    Until then admins see it, and health and operators count it; the release says that it leaves now.
    """
    assert states(cloud) == dict.fromkeys(("email", "identity", "storage"), "closed")
    force(cloud, "email", "open")
    try:
        assert states(cloud)["email"] == "open"
        member = users.register()
        waiting = "SELECT state, attempts, last_error FROM outbox WHERE subject_id = %s AND kind = 'mail'"
        expected = [{"state": "pending", "attempts": 0, "last_error": "circuit-open"}]
        assert wait_until(lambda: cloud.query_rows(waiting, member["id"]) == expected, "a mail that waits")
        assert wait_until(lambda: read_circuit(cloud, "email") == "open", "the open circuit in the health report")
        assert cloud.list_mails(member["email"]) == []
        admin = cloud.make_client(token=cloud.get_token(role="admin"))
        [job] = [
            job
            for job in admin.get("/jobs", params={"state": "pending"}).json()["items"]
            if (job["subject_id"], job["template"]) == (member["id"], "member-welcome")
        ]
        assert (job["reason"], job["age_s"] > 0) == ("circuit-open", True)
        assert wait_until(lambda: cloud.make_client().get("/health/deep").json()["jobs"]["held"] >= 1, "the count")
    finally:
        said = force(cloud, "email", "auto")
    assert LEAVES_NOW.match(said), said
    assert wait_until(lambda: len(cloud.list_mails(member["email"])) == 1, "the mail", LEAVES_WITHIN_S)
    assert wait_until(lambda: states(cloud)["email"] == "closed", "the probe's success")
    check_chains(cloud)


def test_held_mails_leave_by_the_command_alone_once_their_circuit_is_forced_closed(
    cloud: RunningCloud, users: CloudUsers
) -> None:
    """Nothing else would send them now: the relay's schedule is off, they are due in a minute. Each is tried once."""
    try:
        force(cloud, "email", "open")
        members = [users.register() for _ in range(3)]
        ids = [member["id"] for member in members]
        assert wait_until(lambda: read_held_mails(cloud, ids) == 3, "three mails that wait")
        with stop_schedule(cloud, "RelayFunction"):
            runs = len(list_relayed_jobs(cloud))
            assert force(cloud, "email", "closed") == "3 waiting jobs leave now."
            wait_until(
                lambda: all(cloud.list_mails(member["email"]) for member in members),
                "the three mails",
                LEAVES_ON_A_BUSY_MACHINE_S,
            )
            assert wait_until(lambda: sum(list_relayed_jobs(cloud)[runs:]) == 3, "the relay's own word of it")
    finally:
        force(cloud, "email", "closed")
        force(cloud, "email", "auto")
    rows = cloud.query_rows("SELECT attempts FROM outbox WHERE subject_id = ANY(%s) AND kind = 'mail'", ids)
    assert [row["attempts"] for row in rows] == [1, 1, 1]


def read_held_mails(cloud: RunningCloud, ids: list[str]) -> int:
    """Return how many mails about these records wait for their circuit, for half a minute at least."""
    held = (
        "SELECT count(*) AS n FROM outbox WHERE subject_id = ANY(%s) AND kind = 'mail' AND last_error = 'circuit-open'"
        " AND available_at > now() + interval '30 s'"
    )
    return int(cloud.query_rows(held, ids)[0]["n"])


def list_relayed_jobs(cloud: RunningCloud) -> list[int]:
    """Return how many jobs each run of the relay has sent, from the first run on."""
    lines = (cloud.folder / "logs/RelayFunction.log").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["count"] for line in lines if '"message":"jobs_relayed"' in line]


@contextmanager
def stop_schedule(cloud: RunningCloud, function: str) -> Iterator[None]:
    """Have a function's schedule begin no run within the block."""
    changes = cloud.folder / FILE
    changes.write_text(json.dumps({function: {"state": "DISABLED"}}), encoding="utf-8")
    try:
        time.sleep(2 * LOOK_S)  # until it is read, and a run that has just begun is over
        yield
    finally:
        changes.unlink()


def check_chains(cloud: RunningCloud) -> None:
    """The functions' messages carry on the chain of the request, and Lambda would have stopped none.

    A request, the relay and the worker are the shortest chain of a job.
    """
    functions = httpx.get(f"{cloud.origin}/_local/status", timeout=30).json()["functions"]
    assert sum(function["recursions_dropped"] for function in functions.values()) == 0
    assert 3 <= functions["WorkerFunction"]["longest_chain"] <= 1 + 2 * (MOST_HOPS + 1)


def read_circuit(cloud: RunningCloud, service: str) -> str:
    """Return what the deep check says of a circuit."""
    return str(cloud.make_client().get("/health/deep").json()["checks"][service]["circuit"])


def test_a_circuit_is_forced_by_name_and_state(cloud: RunningCloud) -> None:
    """If one of the two is missing, the error says what to type; an unknown name or state is refused."""
    half = cloud.run_command("circuits", "--name", "email")
    assert (half.returncode, half.stdout) == (1, "")
    assert "NAME=email|identity|storage FORCE=open|closed|auto" in half.stderr
    unknown = cloud.run_command("circuits", "--name", "database", "--force", "open")
    assert unknown.returncode == 1
    assert "AdminFunction failed: name" in unknown.stderr
