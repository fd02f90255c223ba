"""Settings of circuits and of retries, as the environment says them."""

import os
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from shared.admission.gcra import compute_quota, decide
from shared.retry.backoff import Backoff
from shared.settings import DEFAULT_CIRCUITS, Settings
from tests.services import ROOT


def test_circuits_have_the_defaults_decided_on() -> None:
    """Five failures; a minute open for mail, half a minute for the others."""
    policies = {name: Settings().find_circuit_policy(name) for name in DEFAULT_CIRCUITS}
    assert {name: (p.name, p.failures, p.open_s) for name, p in policies.items()} == {
        "email": ("email", 5, 60),
        "identity": ("identity", 5, 30),
        "storage": ("storage", 5, 30),
    }


def test_the_environment_changes_what_it_names() -> None:
    """All other settings keep their defaults."""
    settings = Settings.from_environ({"CIRCUITS": '{"email": {"failures": 9, "open_s": 2.5}}'})
    changed, before = settings.find_circuit_policy("email"), DEFAULT_CIRCUITS["email"]
    assert (changed.failures, changed.open_s, changed.slow_s) == (9, 2.5, before.slow_s)
    assert settings.find_circuit_policy("storage") == DEFAULT_CIRCUITS["storage"]


def test_counts_of_a_circuit_are_whole_numbers() -> None:
    """JSON writers may make 9.0 of 9, which counts as 9."""
    settings = Settings.from_environ({"CIRCUITS": '{"email": {"failures": 9.0, "successes_per_failure": 3.0}}'})
    policy = settings.find_circuit_policy("email")
    assert (repr(policy.failures), repr(policy.successes_per_failure)) == ("9", "3")


@pytest.mark.parametrize(
    "circuits",
    ['{"database": {"failures": 9}}', '{"email": {"failure": 9}}', '{"email": {"name": 9}}',
     '{"email": {"failures": 0}}', '{"email": {"failures": 4.5}}', '{"email": {"failure_ratio": 0.3}}',
     '{"email": {"open_s": "long"}}', '{"email": 9}'],
)  # fmt: skip
def test_a_circuit_that_can_not_be_is_refused(circuits: str) -> None:
    """An unknown circuit, an unknown tunable, one of an earlier release, a number that means nothing."""
    with pytest.raises(ValidationError):
        Settings.from_environ({"CIRCUITS": circuits})


def test_transactions_are_retried_as_decided_on() -> None:
    """Three further tries after 100 ms, 200 ms, 400 ms at most, and never after more than 5 s."""
    expected = Backoff(retries=3, base_s=0.1, factor=2, cap_s=5)
    assert [Settings.from_environ(environ).backoff for environ in ({}, {"RETRY": ""}, {"RETRY": "{}"})] == [
        expected
    ] * 3


def test_the_environment_changes_what_it_names_of_a_retry() -> None:
    """The other values keep their defaults; 0 retries are a valid choice."""
    settings = Settings.from_environ({"RETRY": '{"retries": 0, "cap_s": 0.5}'})
    assert settings.backoff == Backoff(retries=0, base_s=0.1, factor=2, cap_s=0.5)


@pytest.mark.parametrize(
    "retry",
    ['{"retry": 3}', '{"retries": -1}', '{"retries": 1.5}', '{"base_s": 0}', '{"factor": -2}', '{"cap_s": 0}',
     '{"cap_s": "long"}', "3", "[]", "{"],
)  # fmt: skip
def test_a_retry_that_can_not_be_is_refused(retry: str) -> None:
    """An unknown name, a number that means nothing, something that is no JSON object."""
    with pytest.raises(ValidationError):
        Settings.from_environ({"RETRY": retry})


@pytest.mark.parametrize(
    "limit",
    ["[0, 60]", "[-1, 60]", "[5, 0]", "[5, -60]", "[5, 1e-9]", "[5, Infinity]", "[5, NaN]", "[1e12, 60]",
     "[5, 1e12]", "[2.5, 60]"],
)  # fmt: skip
def test_a_limit_that_can_not_be_is_refused(limit: str) -> None:
    """A bucket of nothing divides by zero at each call, an endless period never gives a request back."""
    with pytest.raises(ValidationError):
        Settings.from_environ({"LIMITS": f'{{"read": {limit}}}'})


@pytest.mark.parametrize("limit", ["[1, 0.001]", "[1, 86400]", "[1000000, 60]"])
def test_a_limit_at_its_bounds_counts(limit: str) -> None:
    """The shortest and the longest period, and the largest bucket."""
    read = Settings.from_environ({"LIMITS": f'{{"read": {limit}}}'}).find_limit("read")
    assert decide(read, None, now=1).accepted
    assert compute_quota(read, tat=1, now=1).remaining == read.burst


@pytest.mark.parametrize("retry", ['{"retries": 20, "factor": 10, "base_s": 60, "cap_s": 60}', '{"factor": 1}'])
def test_a_retry_at_its_bounds_waits_its_cap_at_most(retry: str) -> None:
    """The power stays a number, however often it is tried."""
    backoff = Settings.from_environ({"RETRY": retry}).backoff
    waits = [backoff.compute_delay(attempt, lambda _, most: most) for attempt in range(backoff.retries)]
    assert all(0 < wait <= backoff.cap_s for wait in waits)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RETRY", '{"retries": 21}'), ("RETRY", '{"base_s": Infinity}'), ("RETRY", '{"cap_s": 61}'),
     ("RETRY", '{"factor": 0.5}'), ("RETRY", '{"factor": Infinity}'),
     ("CIRCUITS", '{"email": {"open_s": Infinity}}'), ("CIRCUITS", '{"email": {"slow_s": NaN}}'),
     ("DB_CONNECT_TIMEOUT", "inf"), ("DB_IDLE_TIMEOUT", "inf"), ("DB_MAX_LIFETIME", "inf"),
     ("DB_PORT", "0"), ("DB_PORT", "65536"), ("DB_SSLMODE", "verify-ful"),
     ("DB_SSLROOTCERT", "system"), ("DB_SSLROOTCERT", "roots.pem"), ("DB_PIPELINE", "maybe"),
     ("MAIL_RATE", "inf"), ("MAIL_RATE", "1e-300")],
)  # fmt: skip
def test_a_value_beyond_its_bounds_is_refused(name: str, value: str) -> None:
    """The start fails, so the deployment's smoke test notices it and no caller does."""
    with pytest.raises(ValidationError):
        Settings.from_environ({name: value})


def test_the_time_zones_come_with_the_layer() -> None:
    """The system's own database is out of reach, as it is in an image without one."""
    script = (
        "from shared.settings import TIME_ZONES, Settings\n"
        "print(*(Settings(country=country).time_zone.key for country in TIME_ZONES))"
    )
    environ = {"PYTHONTZPATH": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["Europe/Belgrade", "Europe/Skopje", "Europe/Tirane"], run.stderr
    assert re.search(r"^tzdata==[0-9.]+ \\$", (ROOT / "layers/shared/requirements.txt").read_text(), re.MULTILINE)
