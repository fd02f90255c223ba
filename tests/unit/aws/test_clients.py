"""The clients' own patience: no attempt is begun that could outlast the deadline, none waits longer than it says."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from shared.aws import clients
from shared.aws.errors import CallNotBegun, OutOfTime, classify_error
from shared.clock import read_monotonic
from shared.deadline import Deadline, get_deadline, use_deadline

SLACK_S = 1.5  # for a busy machine, and the pause between two attempts

# A call of each client, its attempts, and the longest that one of them may take.
CALLS: dict[str, tuple[Callable[[], Any], int, float]] = {
    "dynamodb": (lambda: clients.get_dynamodb().describe_table(TableName="state"), 2, 1.5),
    "sqs": (lambda: clients.get_sqs().get_queue_url(QueueName="queue"), 2, 5.0),
    "cognito": (lambda: clients.get_cognito().describe_user_pool(UserPoolId="eu-central-1_pool"), 2, 7.0),
    "s3": (lambda: clients.get_s3().head_bucket(Bucket="bucket"), 2, 7.0),
    "ses": (lambda: clients.get_sesv2().get_account(), 1, 17.0),
    "probe": (lambda: clients.get_health_client("sqs").get_queue_url(QueueName="queue"), 1, 2.4),
}
BUILDERS = (
    clients.get_dynamodb,
    clients.get_sqs,
    clients.get_cognito,
    clients.get_s3,
    clients.get_sesv2,
    clients.get_health_client,
)


class UnresponsiveAddress:
    """An address that takes connections, keeps them, and answers nothing."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def connections(self) -> int:
        """Return how many there were since it was last asked."""
        self._server.setblocking(False)
        count = 0
        while True:
            try:
                self._server.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[UnresponsiveAddress]:
    """Yield an address that never answers, for the clients built within the test."""
    silent = UnresponsiveAddress()
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for build in BUILDERS:
        build.cache_clear()
    yield silent
    for build in BUILDERS:
        build.cache_clear()
    silent.close()


def in_seconds(seconds: float) -> Deadline:
    """Return a deadline so far away."""
    return Deadline(read_monotonic() + seconds, read_monotonic)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_could_outlast_the_deadline_is_not_begun(silence: UnresponsiveAddress, name: str) -> None:
    """Nothing reaches the service, so nothing was done, and that is known."""
    call, _, longest_s = CALLS[name]
    readings: list[float] = []

    def clock() -> float:
        readings.append(0.0)
        return 0.0

    with use_deadline(Deadline(longest_s - 0.1, clock)), pytest.raises(BotoCoreError) as caught:
        call()
    assert len(readings) == 1, "asked once, before the first attempt, and nothing is tried again"
    assert isinstance(caught.value, OutOfTime)
    assert isinstance(classify_error(caught.value), CallNotBegun)
    assert silence.connections() == 0


def test_a_second_attempt_is_not_begun_where_only_the_first_fits(silence: UnresponsiveAddress) -> None:
    """Retries end with the deadline too. The clock says that the first attempt took all of its time."""
    call, attempts, longest_s = CALLS["dynamodb"]
    assert attempts == 2
    readings = iter([0.0])
    with use_deadline(Deadline(longest_s + 0.2, lambda: next(readings, longest_s))), pytest.raises(OutOfTime):
        call()
    assert silence.connections() == 1


@pytest.mark.parametrize("name", ["dynamodb", "probe"])
def test_a_service_that_says_nothing_is_waited_for_as_long_as_the_client_says(
    silence: UnresponsiveAddress, name: str
) -> None:
    """This holds without a deadline of the request too."""
    call, attempts, longest_s = CALLS[name]
    began = read_monotonic()
    with pytest.raises(BotoCoreError):
        call()
    assert read_monotonic() - began < attempts * longest_s + SLACK_S
    assert silence.connections() == attempts


def test_a_deadline_ends_with_its_block() -> None:
    """The next invocation of the environment has one of its own."""
    outer, inner = in_seconds(1), in_seconds(2)
    with use_deadline(outer):
        with use_deadline(inner):
            assert get_deadline() is inner
        assert get_deadline() is outer
    assert get_deadline() is None
