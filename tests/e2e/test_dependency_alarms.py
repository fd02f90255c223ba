"""Alarms that ring when a service, a queue, the database's proxy or housekeeping is in trouble, and no others.

Each trouble really happens on a local cloud, and each alarm ends when it is over.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local.events.dependency_metrics import REPRESENTATIVE
from local.runtime.lineage import MOST_INVOCATIONS, continue_chain
from shared.admission.ports import LimitCharge, RateLimit
from shared.aws.dynamodb_admission_items import make_bucket_key
from tests.alarms.stack_queues import purge_queue, send_message
from tests.alarms.troubles import (
    age_messages,
    fail_service,
    invoke_function,
    pin_sessions,
    reserve_concurrency,
    send_mails,
)
from tests.alarms.watched_cloud import WatchedCloud
from tests.e2e.cloud import wait_until
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_claim_body, make_person

DELETES_JOBS = """
SELECT DISTINCT grantee FROM information_schema.role_table_grants
WHERE table_name = 'outbox' AND privilege_type = 'DELETE' AND grantee LIKE %s
"""
OPENING_FAILURES = 6  # one more than open a circuit
PROBED_S = 240.0  # until each circuit has had a probe that succeeded
# The item in which all workers share the pace of mails.
PACE_KEY = make_bucket_key(LimitCharge("fleet", RateLimit("mail", burst=1, period_s=1)))
LOOPS = {"NudgeQueue": "RelayFunction", "QueueLow": "WorkerFunction"}
ANNOUNCED = {"file_name": "letter.txt", "content_type": "text/plain", "size": 5}


def test_items_that_are_throttled_ring_by_what_is_done_without_them(alarm_cloud: WatchedCloud) -> None:
    """Calls without limits, and the table's own metrics."""
    began = alarm_cloud.align()
    with fail_service(alarm_cloud.cloud, "dynamodb", "ThrottlingException", status=400, text="limit#"):
        alarm_cloud.watch(4, lambda: alarm_cloud.cloud.make_client().get("/openapi.json").raise_for_status())
    alarm_cloud.check_trouble("the limits' items are throttled", began=began)


def test_sessions_that_stay_pinned_ring(alarm_cloud: WatchedCloud) -> None:
    """By the metrics of the stand-in for RDS Proxy, which carry AWS's names."""
    began = alarm_cloud.align()
    with pin_sessions(alarm_cloud.cloud, 2):
        alarm_cloud.watch(11)
    alarm_cloud.check_trouble("sessions stay pinned", began=began)


@pytest.mark.long
def test_a_single_pinned_session_rings_nothing(alarm_cloud: WatchedCloud) -> None:
    """It can be an operator's."""
    began = alarm_cloud.align()
    with pin_sessions(alarm_cloud.cloud, 1):
        ended = alarm_cloud.watch(13)
    assert alarm_cloud.judge_alarms(began=began, ended=ended) == (set(), set())


@pytest.mark.long
@pytest.mark.parametrize(("queue_ages"), [{"QueueHigh": 1_000, "QueueNormal": 3_700, "QueueLow": 22_000}])
def test_messages_that_nobody_takes_ring_by_their_age(alarm_cloud: WatchedCloud, queue_ages: dict[str, int]) -> None:
    """Each queue from the age that its priority allows; their messages are hidden, so that no worker takes them."""
    began = alarm_cloud.align()
    for queue, age_s in queue_ages.items():
        send_message(alarm_cloud.cloud, queue, delay_s=900)
        assert age_messages(alarm_cloud.cloud, queue, age_s) == 1
    alarm_cloud.watch(6)
    for queue in queue_ages:
        purge_queue(alarm_cloud.cloud, queue)
    alarm_cloud.check_trouble("messages grow old", began=began)


@pytest.mark.long
def test_a_relay_that_is_refused_rings_and_so_do_its_old_wake_ups(alarm_cloud: WatchedCloud) -> None:
    """As if somebody had set its concurrency to 0: the poller tries again and again, and the message grows old."""
    began = alarm_cloud.align()
    with reserve_concurrency(alarm_cloud.cloud, "RelayFunction", 0):
        send_message(alarm_cloud.cloud, "NudgeQueue", delay_s=900)
        assert age_messages(alarm_cloud.cloud, "NudgeQueue", 250) >= 1
        alarm_cloud.watch(7, lambda: invoke_function(alarm_cloud.cloud, "RelayFunction"))
    purge_queue(alarm_cloud.cloud, "NudgeQueue")
    alarm_cloud.check_trouble("RelayFunction is throttled and its wake-ups grow old", began=began)


@pytest.mark.long
def test_dead_letters_of_each_priority_ring(alarm_cloud: WatchedCloud) -> None:
    """The alarm of each one's queue rings."""
    began = alarm_cloud.align()
    for queue in ("DeadLetterHigh", "DeadLetterNormal"):
        send_message(alarm_cloud.cloud, queue)
    alarm_cloud.watch(3)
    for queue in ("DeadLetterHigh", "DeadLetterNormal"):
        purge_queue(alarm_cloud.cloud, queue)
    alarm_cloud.check_trouble("dead letters of high and normal priority stay", began=began)


@pytest.mark.long
def test_a_loop_that_lambda_stops_rings_for_both_of_its_functions(alarm_cloud: WatchedCloud) -> None:
    """Messages whose chain is as long as Lambda allows are dropped, with a count of each."""
    began = alarm_cloud.align()
    for queue, function in LOOPS.items():
        send_message(alarm_cloud.cloud, queue, trace=make_longest_chain(function))
    alarm_cloud.watch(3)
    for queue in LOOPS:
        purge_queue(alarm_cloud.cloud, queue)
    alarm_cloud.check_trouble("a loop through the queues is stopped", began=began)


def make_longest_chain(function: str) -> str:
    """Return the trace header of a chain that has invoked a function as often as Lambda allows."""
    header = ""
    for _ in range(MOST_INVOCATIONS):
        header = continue_chain(header, function)
    return header


@pytest.mark.long
def test_circuits_that_are_throttled_ring_as_not_shared(alarm_cloud: WatchedCloud) -> None:
    """Calls go on, each environment by its own view."""
    users = CloudUsers(alarm_cloud.cloud)
    began = alarm_cloud.align()
    with fail_service(alarm_cloud.cloud, "dynamodb", "ThrottlingException", status=400, text="circuit#"):
        alarm_cloud.watch(6, users.register, pause_s=1)
    alarm_cloud.check_trouble("the circuits' items are throttled", began=began)


@pytest.mark.long
def test_a_pace_of_mails_that_is_throttled_rings(alarm_cloud: WatchedCloud) -> None:
    """Workers send without the shared pace meanwhile."""
    users = CloudUsers(alarm_cloud.cloud)
    began = alarm_cloud.align()
    with fail_service(alarm_cloud.cloud, "dynamodb", "ThrottlingException", status=400, text=PACE_KEY):
        alarm_cloud.watch(6, users.register, pause_s=1)
    alarm_cloud.check_trouble("the mails' pace is throttled", began=began)


@pytest.mark.long
def test_a_relay_that_may_not_keep_answers_rings(alarm_cloud: WatchedCloud) -> None:
    """Calls are answered and mails sent as ever. Only the relay's copies have this text; nothing else is refused."""
    users = CloudUsers(alarm_cloud.cloud)
    began = alarm_cloud.align()
    with fail_service(alarm_cloud.cloud, "dynamodb", "AccessDeniedException", status=400, text=":facts"):
        alarm_cloud.watch(6, users.register, pause_s=1)
    alarm_cloud.check_trouble("the relay may not keep answers", began=began)


@pytest.mark.long
def test_services_that_fail_open_their_circuits_which_close_by_themselves(alarm_cloud: WatchedCloud) -> None:
    """Three openings in an hour; jobs wait, no outcome is uncertain, and the first probes that succeed close them."""
    cloud = alarm_cloud.cloud
    _, member = CloudUsers(cloud).make_member()
    claim = member.post("/claims", json=make_claim_body(), headers=add_key()).json()
    document = member.post(f"/claims/{claim['id']}/documents", json=ANNOUNCED).json()

    def use_each_service() -> None:
        member.post(f"/claims/{claim['id']}/documents/{document['id']}/completion", headers=add_key())
        cloud.make_client().post("/members", json=make_person(), headers=add_key()).raise_for_status()

    began = alarm_cloud.align(3600)
    with fail_each_service(alarm_cloud):
        for _ in range(OPENING_FAILURES):
            use_each_service()
        alarm_cloud.watch(18)
    ended = time.monotonic()

    def are_closed() -> bool:
        cloud.query_rows("UPDATE outbox SET available_at = now() WHERE state = 'pending'")
        use_each_service()
        time.sleep(5)
        checks = cloud.make_client().get("/health/deep").json()["checks"]
        return all(checks[name]["circuit"] == "closed" for name in ("email", "identity", "storage"))

    wait_until(are_closed, "the closed circuits", PROBED_S)
    assert time.monotonic() - ended < PROBED_S
    alarm_cloud.check_trouble("SES, Cognito and S3 fail", began=began)
    assert cloud.query_rows("SELECT 1 FROM outbox WHERE state IN ('failed', 'uncertain')") == []


@contextmanager
def fail_each_service(alarm_cloud: WatchedCloud) -> Iterator[None]:
    """Let SES, Cognito and S3 refuse every request within the block, so that nothing is done."""
    cloud = alarm_cloud.cloud
    with (
        fail_service(cloud, "ses", "ThrottlingException", status=429),
        fail_service(cloud, "cognito-idp", "TooManyRequestsException", status=429),
        fail_service(cloud, "s3", "SlowDown", status=503),
    ):
        yield


@pytest.mark.long
def test_a_task_of_housekeeping_that_fails_twice_rings(alarm_cloud: WatchedCloud) -> None:
    """Its role may not delete old jobs; the other tasks go on. After it was repaired, nothing rings."""
    cloud = alarm_cloud.cloud
    [owner] = cloud.query_rows(DELETES_JOBS, "%housekeeping%")
    began = alarm_cloud.align(3600)
    cloud.query_rows(f"REVOKE DELETE ON outbox FROM {owner['grantee']}")
    try:
        for _ in range(2):
            assert invoke_function(cloud, "HousekeepingFunction").status_code == 200
            alarm_cloud.watch(10)
    finally:
        cloud.query_rows(f"GRANT DELETE ON outbox TO {owner['grantee']}")
    alarm_cloud.check_trouble("a task of housekeeping fails", began=began)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "address"),
    [("mails bounce", "bounce+1@example.test"), ("mails are complained of", "complaint+1@example.test")],
)
def test_mails_that_come_back_ring_by_the_reputation(alarm_cloud: WatchedCloud, name: str, address: str) -> None:
    """One complaint in a hundred mails, or six bounces; later mails restore the reputation."""
    good = [f"person.{n}@example.test" for n in range(REPRESENTATIVE)]
    began = alarm_cloud.align(3600)
    send_mails(alarm_cloud.cloud, [*good, *[address] * (6 if name == "mails bounce" else 1)])
    alarm_cloud.watch(11)
    send_mails(alarm_cloud.cloud, good)
    alarm_cloud.check_trouble(name, began=began)
