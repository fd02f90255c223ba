"""The contract of Queues: one suite over the fake that tests use and the SQS that production uses."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.aws import clients
from shared.aws.sqs import JobQueues, SqsJobQueues, format_message, read_expected_jobs, read_hops, read_job_id
from shared.ids import make_uuid7
from tests.contract.emulated import use_aws_at
from tests.fakes.queues import FakeJobQueues
from tests.services import EmulatorHandle, find_free_port

PRIORITIES = ("high", "normal", "low")


@dataclass(frozen=True)
class JobQueuesSubject:
    """Queues to hold to the contract, and what can be received from them now."""

    queues: JobQueues
    received: Callable[[str], list[UUID]]
    taken: Callable[[str], tuple[str, str]]  # the queue's ARN and the receipt of a message that is now hidden
    wake_ups: Callable[[], int]
    break_: Callable[[], None]


def _make_fake() -> JobQueuesSubject:
    fake = FakeJobQueues()
    return JobQueuesSubject(
        fake,
        lambda priority: list(fake.published[priority]),
        fake.take,
        lambda: sum(1 for delay in fake.wake_ups if delay == 0),
        lambda: setattr(fake, "broken", True),
    )


def _drain(url: str) -> list[str]:
    bodies: list[str] = []
    while found := clients.get_sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies += [each["Body"] for each in found]
    return bodies


def _make_real() -> JobQueuesSubject:
    names = (*PRIORITIES, "nudge")
    urls = {name: clients.get_sqs().create_queue(QueueName=f"{name}-{uuid4().hex}")["QueueUrl"] for name in names}
    queues = SqsJobQueues(clients.get_sqs(), urls={p: urls[p] for p in PRIORITIES}, wake_up_url=urls["nudge"])

    def break_() -> None:
        # The adapter keeps its client; the queues behind it are gone.
        for url in urls.values():
            clients.get_sqs().delete_queue(QueueUrl=url)

    def received(priority: str) -> list[UUID]:
        return [read_job_id(body) for body in _drain(urls[priority])]

    def taken(priority: str) -> tuple[str, str]:
        message = clients.get_sqs().receive_message(QueueUrl=urls[priority])["Messages"][0]
        return f"arn:aws:sqs:eu-central-1:000000000000:{urls[priority].rpartition('/')[2]}", message["ReceiptHandle"]

    return JobQueuesSubject(queues, received, taken, lambda: len(_drain(urls["nudge"])), break_)


@pytest.fixture(params=["fake", "sqs"])
def subject(request: pytest.FixtureRequest) -> Iterator[JobQueuesSubject]:
    """Fake queues, then real ones of the test's own."""
    if request.param == "fake":
        yield _make_fake()
        return
    emulator: EmulatorHandle = request.getfixturevalue("emulator")
    with use_aws_at(emulator.url):
        yield _make_real()


def test_every_job_published_arrives_in_the_queue_of_its_priority(subject: JobQueuesSubject) -> None:
    """There are more jobs than one SendMessageBatch holds, and the other queues get nothing."""
    jobs = [make_uuid7() for _ in range(25)]
    assert subject.queues.publish("normal", jobs) == frozenset(jobs)
    assert sorted(subject.received("normal")) == sorted(jobs)
    assert subject.received("high") == subject.received("low") == []


def test_publishing_nothing_is_nothing(subject: JobQueuesSubject) -> None:
    """An empty batch is an error to SQS, so none is sent."""
    assert subject.queues.publish("low", []) == frozenset()


def test_what_sqs_did_not_acknowledge_is_not_returned(subject: JobQueuesSubject) -> None:
    """The relay then knows to try again, and nothing is raised."""
    subject.break_()
    assert subject.queues.publish("high", [make_uuid7()]) == frozenset()


def test_a_wake_up_arrives(subject: JobQueuesSubject) -> None:
    """It arrives at once if no delay is given."""
    assert subject.queues.wake_relay()
    assert subject.wake_ups() == 1


def test_a_delayed_wake_up_does_not_arrive_yet(subject: JobQueuesSubject) -> None:
    """It wakes the relay when the job is due."""
    assert subject.queues.wake_relay(delay_s=30)
    assert subject.wake_ups() == 0


def test_a_delay_beyond_what_sqs_takes_is_shortened(subject: JobQueuesSubject) -> None:
    """SQS would refuse more than 15 minutes."""
    assert subject.queues.wake_relay(delay_s=86_400)


def test_a_wake_up_that_fails_says_so_and_raises_nothing(subject: JobQueuesSubject) -> None:
    """The request that wakes the relay has committed: it must not fail."""
    subject.break_()
    assert not subject.queues.wake_relay()


def test_a_received_message_is_shown_again_when_it_is_asked_for(subject: JobQueuesSubject) -> None:
    """It does not wait for its visibility timeout."""
    job = make_uuid7()
    subject.queues.publish("normal", [job])
    arn, receipt = subject.taken("normal")
    assert subject.received("normal") == []
    assert subject.queues.delay_message(arn, receipt, delay_s=0)
    assert subject.received("normal") == [job]


def test_a_message_that_cannot_be_shown_again_raises_nothing(subject: JobQueuesSubject) -> None:
    """Its visibility timeout shows it, and what the worker had to say stands in its answer."""
    subject.queues.publish("normal", [make_uuid7()])
    arn, receipt = subject.taken("normal")
    subject.break_()
    assert not subject.queues.delay_message(arn, receipt, delay_s=0)
    assert not subject.queues.delay_message("arn:of:another", receipt, delay_s=0)


def test_an_endpoint_that_refuses_connections_raises_nothing() -> None:
    """Neither publishing a message nor waking the relay raises."""
    with use_aws_at(f"http://127.0.0.1:{find_free_port()}"):
        queues = SqsJobQueues(
            clients.get_sqs(), urls={"high": "http://127.0.0.1:1/q"}, wake_up_url="http://127.0.0.1:1/n"
        )
        assert queues.publish("high", [make_uuid7()]) == frozenset()
        assert not queues.wake_relay()


def test_of_a_partly_failed_batch_only_the_successful_ids_are_returned() -> None:
    """SQS answers 200 and names the failures inside."""

    class HalfDeaf:
        def send_message_batch(self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
            ids = [{"Id": entry["Id"]} for entry in Entries]
            return {"Successful": ids[::2], "Failed": ids[1::2]}

    jobs = [make_uuid7() for _ in range(4)]
    queues = SqsJobQueues(HalfDeaf(), urls={"low": "q"}, wake_up_url="n")  # type: ignore[arg-type]
    assert queues.publish("low", jobs) == {jobs[0], jobs[2]}


def test_a_message_says_nothing_but_the_jobs_id_and_its_hops() -> None:
    """Queues hold no personal data."""
    job_id = make_uuid7()
    assert format_message(job_id, hops=3) == f'{{"job_id": "{job_id}", "hops": 3}}'
    assert read_job_id(format_message(job_id)) == job_id


def test_a_batch_has_the_most_hops_of_its_messages() -> None:
    """A message of an earlier release or of a person counts as none."""
    bodies = [format_message(make_uuid7(), hops=hops) for hops in (1, 3, 2)]
    assert read_hops(bodies) == 3
    assert read_hops([]) == 0
    others = ["{}", "", "[]", "null", '{"hops": null}', '{"hops": "x"}', f'{{"job_id": "{make_uuid7()}"}}']
    assert [read_hops([body]) for body in others] == [0] * len(others)


def test_a_batch_names_all_jobs_that_its_wake_ups_name() -> None:
    """A wake-up of an earlier release, a worker or a person names none."""
    first, second = make_uuid7(), make_uuid7()
    bodies = [f'{{"hops": 0, "jobs": ["{job}"]}}' for job in (first, second)]
    others = [
        "{}",
        "",
        "[]",
        "null",
        '{"hops": 1}',
        '{"jobs": null}',
        '{"jobs": [1]}',
        '{"jobs": ["x"]}',
        '{"jobs": 1}',
    ]
    assert read_expected_jobs([*bodies, *others]) == {first, second}


@pytest.mark.parametrize("body", ["", "[]", "{}", "null", '"x"', '{"job_id": 1}', '{"job_id": "x"}'])
def test_a_message_that_names_no_job_is_a_value_error(body: str) -> None:
    """The message then ends in the dead-letter queue, and not as a crash of another kind."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        read_job_id(body)
