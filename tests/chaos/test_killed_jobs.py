"""The long form: relays and workers killed at every step, twenty times over, in an order of the seed's.

A round replays from its seed: CHAOS_SEED=… pytest tests/chaos/test_killed_jobs.py
"""

import os
import random

import pytest

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
from tests.killing.world import Processes, Step, World

SEED = int(os.environ.get("CHAOS_SEED", "11"))
ROUNDS = 20


@pytest.fixture(scope="module")
def office(killing: World, processes: Processes) -> Office:
    """The jobs' functions in a world of the module's own."""
    return Office(killing, processes)


@pytest.fixture(scope="module")
def points(office: Office) -> tuple[list[Step], list[Step], list[Step]]:
    """Where a relay can be killed, a worker with a mail, and a worker with an identity."""
    office.mail(priority="high")
    office.identity(priority="low")
    relay = office.relay().points
    mail = office.work(office.mail(**published()).id).points
    return relay, mail, office.work(office.identity(**published()).id).points


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_relays_and_workers_killed_at_every_step_lose_and_double_nothing(
    office: Office, points: tuple[list[Step], list[Step], list[Step]], seed: int
) -> None:
    """All jobs of a round are left to recover together."""
    relay, mail, identity = (random.Random(seed).sample(its, len(its)) for its in points)
    handed_over = killed_relays(office, relay)
    deaths = killed_mail_workers(office, mail)
    people = killed_identity_workers(office, identity)
    office.recover(rounds=2)
    words = wrong_deaths(office, deaths) + wrong_identities(office, people + [one for _, one in handed_over])
    mails = [one for one, _ in handed_over]
    record("kill_points_jobs_long", seed=seed, killed=len(relay) + len(mail) + len(identity), wrong=len(words))
    assert words == []
    assert {office.records.at(one.id)["state"] for one in mails} == {"done"}
    assert office.sent(*mails) == [1] * len(relay)
