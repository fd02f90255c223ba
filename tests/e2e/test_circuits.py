"""Operators see and force the deployed circuits, and the functions go by it."""

import time

from shared.settings import Settings
from tests.e2e.cloud import Cloud, eventually
from tests.e2e.people import People

PUT_OFF_S = 150.0  # a job that met the open circuit once more: a minute, and the relay's schedule


def states(cloud: Cloud) -> dict[str, str]:
    """What `make circuits` prints, by circuit."""
    done = cloud.command("circuits")
    assert done.returncode == 0, done.stderr
    _, *rows = (line.split() for line in done.stdout.splitlines())
    return {row[0]: row[1] for row in rows}


def force(cloud: Cloud, name: str, to: str) -> None:
    """`make circuits NAME=… FORCE=…`."""
    done = cloud.command("circuits", "--name", name, "--force", to)
    assert done.returncode == 0, done.stderr


def test_mails_wait_while_operators_hold_their_circuit_open(cloud: Cloud, people: People) -> None:
    """A registration is answered as ever, and no attempt is counted; the mail goes when the circuit is let go."""
    assert states(cloud) == dict.fromkeys(("email", "identity", "storage"), "closed")
    force(cloud, "email", "open")
    try:
        assert states(cloud)["email"] == "open"
        member = people.register()
        waiting = "SELECT state, attempts, last_error FROM outbox WHERE subject_id = %s AND kind = 'mail'"
        expected = [{"state": "pending", "attempts": 0, "last_error": "circuit-open"}]
        assert eventually(lambda: cloud.rows(waiting, member["id"]) == expected, "a mail that waits")
        assert eventually(lambda: circuit_of(cloud, "email") == "open", "the open circuit in the health report")
        assert cloud.mails(member["email"]) == []
    finally:
        force(cloud, "email", "auto")
    time.sleep(2 * Settings().find_circuit_policy("email").refresh_s)  # environments believe for so long what they knew
    cloud.rows("UPDATE outbox SET available_at = now() WHERE state = 'pending'")
    people.register()  # its nudge wakes the relay for both
    assert eventually(lambda: len(cloud.mails(member["email"])) == 1, "the mail", PUT_OFF_S)
    assert eventually(lambda: states(cloud)["email"] == "closed", "the probe's success")


def circuit_of(cloud: Cloud, service: str) -> str:
    """What the deep check says of it."""
    return str(cloud.client().get("/health/deep").json()["checks"][service]["circuit"])


def test_a_circuit_is_forced_by_name_and_state(cloud: Cloud) -> None:
    """One without the other says what to type; an unknown one is refused."""
    half = cloud.command("circuits", "--name", "email")
    assert (half.returncode, half.stdout) == (1, "")
    assert "NAME=email|identity|storage FORCE=open|closed|auto" in half.stderr
    unknown = cloud.command("circuits", "--name", "database", "--force", "open")
    assert unknown.returncode == 1
    assert "AdminFunction failed: name" in unknown.stderr
