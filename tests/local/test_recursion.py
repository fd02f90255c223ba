"""A function whose message invokes it again: real botocore, emulator, poller and runtime stop it as Lambda does."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3

from local.deploy import EmulatorClients
from local.runtime.lineage import MOST_INVOCATIONS, count_invocations, read_lineage
from local.stack import QueueSource
from tests.local.emulators import start_emulator
from tests.local.gateways import make_function, make_stack, run_gateway, wait_until

# What the layer brings on AWS: the SDK with which the function sends.
SDK = str(Path(boto3.__file__).parents[1])
MOST_RECEIVES = 2


def test_a_loop_through_a_queue_is_stopped_after_sixteen_invocations(tmp_path: Path) -> None:
    """The message of the seventeenth goes to the dead-letter queue after its deliveries, each of which is counted."""
    with start_emulator(tmp_path / "aws") as (clients, _):
        check_loop(clients, tmp_path)


def check_loop(clients: EmulatorClients, tmp_path: Path) -> None:
    """Run the loop until its message is dead, and compare what was sent with what came."""
    sqs = clients.get("sqs")
    dead = sqs.create_queue(QueueName=f"dead-{uuid4().hex[:8]}")["QueueUrl"]
    attributes: dict[Any, str] = {
        "VisibilityTimeout": "1",
        "RedrivePolicy": json.dumps(
            {"deadLetterTargetArn": f"arn:aws:sqs:eu-central-1:000000000000:{dead.rpartition('/')[2]}",
             "maxReceiveCount": MOST_RECEIVES}
        ),
    }  # fmt: skip
    url = sqs.create_queue(QueueName=f"queue-{uuid4().hex[:8]}", Attributes=attributes)["QueueUrl"]
    note = tmp_path / "note"
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"note": str(note), "queue": url}))
    function = make_function("send_itself", layer_dirs=[SDK], environment={"AWS_ENDPOINT_URL": clients.endpoint})
    source = QueueSource("send_itself", url, 10, 0.0, 2, partial_failures=False)
    stack = make_stack([function], [], queue_sources=[source], endpoint_url=clients.endpoint)
    with run_gateway(stack, tmp_path) as gateway:
        wait_until(lambda: read_queue_size(sqs, dead) == 1)
        status = gateway.read_status("send_itself")

    sent_and_seen = [json.loads(line) for line in note.read_text().splitlines()]
    assert [count_invocations(seen) for _, seen in sent_and_seen] == list(range(1, MOST_INVOCATIONS + 1))
    assert [sent for sent, _ in sent_and_seen] == ["", *(seen for _, seen in sent_and_seen[:-1])]
    assert len({key for _, seen in sent_and_seen for key in read_lineage(seen)}) == 1
    assert (status["recursions_dropped"], status["longest_chain"]) == (MOST_RECEIVES, MOST_INVOCATIONS)


def read_queue_size(sqs: Any, url: str) -> int:
    """Return how many messages are visible in a queue."""
    wanted = ["ApproximateNumberOfMessages"]
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"][wanted[0]])
