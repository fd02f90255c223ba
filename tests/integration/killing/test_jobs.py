"""Nothing lost, nothing done twice: relays and workers killed at any step, on real queues, up to a real inbox."""

import pytest

from tests.contract.state_table import new_table
from tests.figures import record
from tests.killing.jobs import (
    Office,
    killed_identity_workers,
    killed_mail_workers,
    killed_relays,
    published,
    wrong_deaths,
    wrong_identities,
)
from tests.killing.tracing import uncovered
from tests.killing.world import Processes, World


@pytest.fixture(scope="module")
def office(killing: World, processes: Processes) -> Office:
    """The jobs' functions in a world of the module's own."""
    return Office(killing, processes)


def test_everything_that_leaves_a_relay_or_a_worker_has_a_step_before_and_after_it(office: Office) -> None:
    """Seen from beside the code: so that a process killed at each step misses no moment."""
    jobs = [office.mail(**published()).id, office.identity(**published()).id]
    office.mail(priority="high")
    relay = office.processes.run("relay.app.handler", {}, traced=True)
    worker = office.work(*jobs, traced=True)
    for ran in (relay, worker):
        assert uncovered(ran.trace) == []
        assert {what for _, _, what in ran.trace} >= {"wire connect", "wire flight", "wire http"}


def test_a_relay_killed_at_any_step_loses_and_doubles_nothing(office: Office) -> None:
    """Every job that was committed is done once, whether it was published once, twice or not at all."""
    office.mail(priority="high")
    office.identity(priority="low")
    points = office.relay().points
    jobs = killed_relays(office, points)
    office.recover()
    mails, identities = [mail for mail, _ in jobs], [identity for _, identity in jobs]
    sent, wrong = office.sent(*mails), wrong_identities(office, identities)
    lost, doubled = sent.count(0), sum(n > 1 for n in sent)
    record("kill_points_relay", killed=len(points), lost=lost, doubled=doubled, wrong=len(wrong))
    assert {office.records.at(mail.id)["state"] for mail in mails} == {"done"}
    assert sent == [1] * len(points)
    assert wrong == []


def test_a_worker_killed_at_any_step_of_a_mail_never_sends_two(office: Office) -> None:
    """What had not begun is done by the next; what had is uncertain and stays so, whether or not the mail had left."""
    points = office.work(office.mail(**published()).id).points
    deaths = killed_mail_workers(office, points)
    office.recover(rounds=3)
    uncertain, wrong = [death for death in deaths if death.begun], wrong_deaths(office, deaths)
    record("kill_points_mail", killed=len(points), uncertain=len(uncertain), wrong=len(wrong))
    assert wrong == []
    assert {death.sent for death in uncertain} == {0, 1}, "died before and after the mail had left"
    assert {death.sent for death in deaths if not death.begun} == {0, 1}, "died before it began and after it settled"


def test_a_worker_killed_at_any_step_of_a_mail_that_has_to_wait_loses_nothing(office: Office, killing: World) -> None:
    """The fleet's rate is used up: wherever the worker dies, the mail is sent later, and once."""
    table = new_table(killing.client("dynamodb"))
    slow = Office(killing, killing.processes(MAIL_RATE="0.001", MAIL_BURST="1", STATE_TABLE=table))
    slow.work(slow.mail(**published()).id)
    waits = slow.mail(**published())
    points = slow.work(waits.id).points
    assert (slow.records.at(waits.id)["state"], slow.records.at(waits.id)["attempts"]) == ("pending", 0)
    deaths = killed_mail_workers(slow, points)
    assert [death for death in deaths if death.begun or death.sent] == []
    office.recover(rounds=2)
    wrong = wrong_deaths(office, deaths)
    record("kill_points_paced_mail", killed=len(points), wrong=len(wrong))
    assert wrong == []
    assert office.sent(waits) == [1]


def test_a_worker_killed_at_any_step_of_an_identity_makes_one(office: Office) -> None:
    """It is made again, as one person: confirmed, in the group, linked to the account."""
    points = office.work(office.identity(**published()).id).points
    jobs = killed_identity_workers(office, points)
    office.recover()
    wrong = wrong_identities(office, jobs)
    record("kill_points_identity", killed=len(points), people=len(jobs), wrong=len(wrong))
    assert wrong == []
