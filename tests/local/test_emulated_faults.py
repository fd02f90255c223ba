"""Faults of the emulated services, as boto3 reads them, and what DynamoDB counts of them."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from local.deploy import EmulatorClients
from tests.local.emulators import start_emulator

TABLE = "limits"


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorClients]:
    """Yield clients of an emulator with a table."""
    with start_emulator(tmp_path_factory.mktemp("emulator")) as (found, _):
        found.get("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield found


@pytest.fixture(autouse=True)
def _end_faults(clients: EmulatorClients) -> Iterator[None]:
    yield
    httpx.delete(f"{clients.endpoint}/_local/faults").raise_for_status()


def put_fault(clients: EmulatorClients, service: str, code: str, status: int = 500, text: str = "") -> None:
    """Switch a fault on."""
    fault = {"service": service, "status": status, "code": code, "text": text}
    httpx.put(f"{clients.endpoint}/_local/faults", json=fault).raise_for_status()


def read_throttled(clients: EmulatorClients) -> dict[tuple[str, str], int]:
    """Return how many requests were throttled since the start, by table and operation."""
    found = httpx.get(f"{clients.endpoint}/_local/faults").json()["throttled"]
    return {(each["table"], each["operation"]): each["count"] for each in found}


def read_code(call: Callable[[], object]) -> str:
    """Return the error code that a call gets."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"]


def make_item(key: str) -> dict[str, Any]:
    """Return the arguments that write an item."""
    return {"TableName": TABLE, "Item": {"pk": {"S": key}}}


def test_a_throttled_key_is_refused_and_counted_and_others_are_not(clients: EmulatorClients) -> None:
    """The fault chooses by table and operation, any number of times; without it everything is as before."""
    dynamodb = clients.get("dynamodb")
    put_fault(clients, "dynamodb", "ThrottlingException", 400, "limit#")
    for _ in range(2):
        assert read_code(lambda: dynamodb.put_item(**make_item("limit#a"))) == "ThrottlingException"
    read_a = {"TableName": TABLE, "Key": {"pk": {"S": "limit#a"}}}
    assert read_code(lambda: dynamodb.get_item(**read_a)) == "ThrottlingException"
    batch = {"RequestItems": {TABLE: {"Keys": [read_a["Key"]]}}}
    assert read_code(lambda: dynamodb.batch_get_item(**batch)) == "ThrottlingException"
    dynamodb.put_item(**make_item("circuit#a"))
    counts = {"PutItem": 2, "GetItem": 1, "BatchGetItem": 1}
    assert read_throttled(clients) == {(TABLE, operation): count for operation, count in counts.items()}
    httpx.delete(f"{clients.endpoint}/_local/faults").raise_for_status()
    dynamodb.put_item(**make_item("limit#a"))
    assert dynamodb.get_item(**read_a)["Item"]["pk"] == {"S": "limit#a"}


def test_another_error_of_dynamodb_is_no_throttle(clients: EmulatorClients) -> None:
    """An internal error is not counted as one."""
    before = read_throttled(clients)
    put_fault(clients, "dynamodb", "InternalServerError")
    assert read_code(lambda: clients.get("dynamodb").put_item(**make_item("a"))) == "InternalServerError"
    assert read_throttled(clients) == before


@pytest.mark.parametrize(
    ("service", "client", "code", "call"),
    [
        ("ses", "sesv2", "TooManyRequestsException", lambda ses: ses.get_account()),
        ("cognito-idp", "cognito-idp", "InternalErrorException", lambda idp: idp.list_user_pools(MaxResults=1)),
        ("s3", "s3", "SlowDown", lambda s3: s3.list_buckets()),
        ("sqs", "sqs", "RequestThrottled", lambda sqs: sqs.list_queues()),
    ],
)
def test_a_service_fails_as_its_client_reads_it_and_no_other_fails(
    clients: EmulatorClients, service: str, client: str, code: str, call: Callable[[Any], object]
) -> None:
    """Each in the protocol of its own."""
    put_fault(clients, service, code, 503)
    assert read_code(lambda: call(clients.get(client))) == code
    clients.get("dynamodb").list_tables()


def test_a_message_is_made_older(clients: EmulatorClients) -> None:
    """SQS tells a message's age by when it was sent."""
    sqs = clients.get("sqs")
    url = sqs.create_queue(QueueName="old")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    before = read_sent_at(clients)
    answer = httpx.put(f"{clients.endpoint}/_local/age", json={"queue": "old", "seconds": 900})
    assert (answer.status_code, answer.json()) == (200, {"aged": 1})
    assert before - read_sent_at(clients) == 900
    [message] = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["SentTimestamp"])["Messages"]
    assert abs(before - int(message["Attributes"]["SentTimestamp"]) / 1000 - 900) < 1.5


def read_sent_at(clients: EmulatorClients) -> int:
    """Return when the only message was sent, in seconds since the epoch."""
    found = httpx.get(f"{clients.endpoint}/_ministack/sqs/messages").json()["messages"]
    [message] = [
        each for regions in found.values() for queues in regions.values() for q in queues.values() for each in q
    ]
    return int(message["SentTimestamp"])


def test_a_fault_that_can_not_be_read_changes_nothing(clients: EmulatorClients) -> None:
    """The answer is 400."""
    answer = httpx.put(f"{clients.endpoint}/_local/faults", json={"service": "ses"})
    assert answer.status_code == 400
    clients.get("sesv2").get_account()
