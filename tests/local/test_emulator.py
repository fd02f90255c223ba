"""The AWS emulator as the local cloud runs it: on loopback, passive, and with a memory."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from local import emulator
from local.deploy import EmulatorClients, deploy
from local.emulator_checkpoints import CheckpointSchedule, is_write
from local.processes import STOP_SECONDS
from local.stack import Stack
from local.stack_reader import read_stack
from local.template import list_code_folders, read_template
from tests.local.emulators import start_emulator

CLOUD = Path(__file__).with_name("cloud")
TEMPLATE = (CLOUD / "template.yaml").read_text()
EMAIL = "person@example.test"
PASSWORD = "Some password, 21 long"
OBSERVATION_S = 2.5  # the emulator's pollers look at their queues once a second


def deploy_stack(clients: EmulatorClients) -> Stack:
    """Deploy the small stack; return it as read back."""
    deploy(clients, TEMPLATE, {"EventSources": "DISABLED"})
    return read_stack(clients, list_code_folders(read_template(TEMPLATE), CLOUD), [])


def fill(clients: EmulatorClients, stack: Stack) -> None:
    """Create one of everything that must be kept."""
    tasks = stack.find_function("TasksFunction").environment
    clients.get("s3").put_object(
        Bucket=tasks["EVIDENCE_BUCKET"], Key="a/b.pdf", Body=b"%PDF", ContentType="application/pdf"
    )
    clients.get("dynamodb").put_item(TableName=tasks["STATE_TABLE"], Item={"pk": {"S": "one"}, "raw": {"B": b"\xff"}})
    clients.get("sqs").send_message(QueueUrl=tasks["QUEUE_HIGH_URL"], MessageBody="kept")
    identity = clients.get("cognito-idp")
    identity.admin_create_user(UserPoolId=stack.user_pool_id, Username=EMAIL, MessageAction="SUPPRESS")
    identity.admin_set_user_password(UserPoolId=stack.user_pool_id, Username=EMAIL, Password=PASSWORD, Permanent=True)
    body = {"Text": {"Data": "Përshëndetje"}}
    clients.get("sesv2").create_email_identity(EmailIdentity="no-reply@example.test")
    clients.get("sesv2").send_email(
        FromEmailAddress="no-reply@example.test",
        Destination={"ToAddresses": [EMAIL]},
        Content={"Simple": {"Subject": {"Data": "kept"}, "Body": body}},
    )


def read_state(clients: EmulatorClients, stack: Stack) -> dict[str, Any]:
    """Return what is left of that."""
    tasks = stack.find_function("TasksFunction").environment
    queue = tasks["QUEUE_HIGH_URL"]
    counts = clients.get("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    signed_in = clients.get("cognito-idp").admin_initiate_auth(
        UserPoolId=stack.user_pool_id,
        ClientId=stack.client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": EMAIL, "PASSWORD": PASSWORD},
    )
    with urllib.request.urlopen(f"{clients.endpoint}/_ministack/ses/messages") as answer:
        mails = [mail for mails in json.load(answer)["messages"].values() for mail in mails]
    return {
        "evidence": clients.get("s3").get_object(Bucket=tasks["EVIDENCE_BUCKET"], Key="a/b.pdf")["Body"].read(),
        "state": clients.get("dynamodb").get_item(TableName=tasks["STATE_TABLE"], Key={"pk": {"S": "one"}})["Item"],
        "waiting": counts["ApproximateNumberOfMessages"],
        "token": signed_in["AuthenticationResult"]["TokenType"],
        "mails": [(mail["Subject"], mail["BodyText"]) for mail in mails],
    }


EVERYTHING = {
    "evidence": b"%PDF",
    "state": {"pk": {"S": "one"}, "raw": {"B": b"\xff"}},
    "waiting": "1",
    "token": "Bearer",
    "mails": [("kept", "Përshëndetje")],
}


def test_everything_is_kept_over_a_restart(tmp_path: Path) -> None:
    """Evidence, state, queues, people and mails; on another port, as after a change of ports."""
    with start_emulator(tmp_path / "emulator") as (clients, _):
        stack = deploy_stack(clients)
        fill(clients, stack)
    with start_emulator(tmp_path / "emulator") as (clients, _):
        assert read_state(clients, deploy_stack(clients)) == EVERYTHING


def test_the_emulator_is_served_before_the_functions(tmp_path: Path) -> None:
    """A priority above the functions' is set if the system allows it; all environments wait for this one process."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    asked = [sys.executable, "-c", f"import os; os.setpriority(os.PRIO_PROCESS, 0, {own + emulator.NICE})"]
    is_allowed = subprocess.run(asked, capture_output=True, check=False).returncode == 0
    with start_emulator(tmp_path / "emulator") as (_, child):
        assert os.getpriority(os.PRIO_PROCESS, child.process.pid) == own + (emulator.NICE if is_allowed else 0)


def test_the_emulator_is_started_where_the_priority_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for it then changes nothing."""

    def refuse(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    emulator.raise_priority()
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_the_emulator_ends_when_asked_though_a_poller_still_waits(tmp_path: Path) -> None:
    """A long poll under way holds nobody up: it ends by itself, state written, long before it would be killed."""
    with start_emulator(tmp_path / "emulator") as (clients, child):
        queue = clients.get("sqs").create_queue(QueueName="waited-for")["QueueUrl"]
        poller = Thread(target=poll_until_cut, args=(clients.get("sqs"), queue), daemon=True)
        poller.start()
        time.sleep(0.5)  # the poll is under way
        began = time.monotonic()
        child.stop()
        took_s = time.monotonic() - began

    assert child.process.returncode == 0
    assert took_s < STOP_SECONDS / 2


def poll_until_cut(sqs: Any, queue: str) -> None:
    """Wait for a message that nobody sends, until the emulator hangs up."""
    with suppress(Exception):  # however it is cut off
        sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)


def test_what_was_written_before_a_quiet_moment_survives_a_kill(tmp_path: Path) -> None:
    """SIGKILL loses what came after the last checkpoint, and that is taken in every quiet second."""
    state = tmp_path / "emulator/state/ses.json"
    with start_emulator(tmp_path / "emulator") as (clients, child):
        stack = deploy_stack(clients)
        fill(clients, stack)
        deadline = time.monotonic() + 20
        while not (state.exists() and "kept" in state.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        child.process.kill()
        child.process.wait()
    with start_emulator(tmp_path / "emulator") as (clients, _):
        assert (
            read_state(clients, read_stack(clients, list_code_folders(read_template(TEMPLATE), CLOUD), []))
            == EVERYTHING
        )


def test_tokens_are_signed_with_a_key_that_the_pool_publishes(tmp_path: Path) -> None:
    """Without the cryptography package the emulator signs with nothing, and no authorizer could be tested."""
    import jwt

    with start_emulator(tmp_path / "emulator") as (clients, _):
        stack = deploy_stack(clients)
        fill(clients, stack)
        answer = clients.get("cognito-idp").admin_initiate_auth(
            UserPoolId=stack.user_pool_id,
            ClientId=stack.client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": EMAIL, "PASSWORD": PASSWORD},
        )
        token = answer["AuthenticationResult"]["AccessToken"]
        key = jwt.PyJWKClient(stack.jwks_url).get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key.key, algorithms=["RS256"], issuer=stack.issuer)
    assert (claims["token_use"], claims["client_id"]) == ("access", stack.client_id)


def test_the_emulator_leaves_our_queues_alone(tmp_path: Path) -> None:
    """Its mappings are deployed disabled: a message stays unread, here watched for longer than a poller waits."""
    with start_emulator(tmp_path / "emulator") as (clients, _):
        stack = deploy_stack(clients)
        queue = stack.find_function("TasksFunction").environment["QUEUE_HIGH_URL"]
        clients.get("sqs").send_message(QueueUrl=queue, MessageBody="untouched")
        time.sleep(OBSERVATION_S)
        [message] = clients.get("sqs").receive_message(QueueUrl=queue, AttributeNames=["All"])["Messages"]
        rules = clients.get("events").list_rules()["Rules"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert {rule["State"] for rule in rules} == {"DISABLED"}


def test_the_emulator_listens_on_loopback_and_on_one_port_only(tmp_path: Path) -> None:
    """No port but the endpoint's, also after everything was used."""
    with start_emulator(tmp_path / "emulator") as (clients, child):
        fill(clients, deploy_stack(clients))
        assert list_listening_addresses(child.process.pid) == [clients.endpoint.removeprefix("http://")]


def list_listening_addresses(pid: int) -> list[str]:
    """Return the addresses a process listens on."""
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return [decode_address(row[1]) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def decode_address(encoded: str) -> str:
    """host:port of the kernel's notation."""
    host, port = encoded.split(":")
    return f"{'.'.join(str(int(host[i : i + 2], 16)) for i in (6, 4, 2, 0))}:{int(port, 16)}"


@pytest.mark.parametrize(
    ("method", "target", "counts"),
    [
        ("POST", b"AmazonSQS.ReceiveMessage", False),
        ("POST", b"AmazonSQS.DeleteMessage", True),
        ("POST", b"DynamoDB_20120810.GetItem", False),
        ("POST", b"DynamoDB_20120810.UpdateItem", True),
        ("PUT", b"", True),
        ("GET", b"", False),
    ],
)
def test_only_a_change_asks_for_a_checkpoint(method: str, target: bytes, counts: bool) -> None:
    """Polling an empty queue all day writes nothing."""
    assert is_write({"type": "http", "method": method, "headers": [(b"x-amz-target", target)]}) is counts


def test_a_checkpoint_waits_for_a_quiet_moment_but_not_for_ever() -> None:
    """Due a second after the last change, and half a minute after the first."""
    checkpoints = CheckpointSchedule()
    assert not checkpoints.is_due(100.0)
    checkpoints.note_change(100.0)
    assert [checkpoints.is_due(at) for at in (100.5, 101.0)] == [False, True]
    for second in range(100, 130):
        checkpoints.note_change(second + 0.9)
    assert [checkpoints.is_due(at) for at in (129.95, 130.0)] == [False, True]
    checkpoints.clear()
    assert not checkpoints.is_due(1000.0)
