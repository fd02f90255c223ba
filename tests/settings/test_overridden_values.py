"""Tests, the local cloud and the report run at the deployed numbers; whoever needs others stands here by name."""

import re
from pathlib import Path

import pytest

from local.deploy import build_parameters
from tests.services import ROOT
from tests.settings.test_defaults import PARAMETERS, VARIABLES

# The parameters that tell where a local cloud's parts are. Every number is the template's.
LOCAL = {
    "AllowedOrigins",
    "DatabaseMode",
    "DatabaseHost",
    "DatabasePort",
    "DatabaseAuth",
    "DatabaseSslRootCert",
    "MailSender",
    "DeskMailbox",
    "AppUrl",
    "EventSources",
    "ServiceVersion",
}
TUNABLES = {
    "MAIL_RATE",
    "MAIL_BURST",
    "LIMITS",
    "CIRCUITS",
    "RETRY",
    "DB_MAX_CONNECTIONS",
    "DB_CONNECT_TIMEOUT",
    "DB_IDLE_TIMEOUT",
    "DB_MAX_LIFETIME",
}
# A tunable as a parameter, a variable, a setting to be changed, or an argument, with a value.
_FIELDS = "|".join(sorted(name.lower() for name in TUNABLES))
_NAMES = "|".join([*sorted(TUNABLES | {VARIABLES[name] for name in TUNABLES}), _FIELDS])
_UPPER = "|".join(sorted(TUNABLES))
SETS_ONE = re.compile(
    rf'"(?:{_NAMES})": |"(?:{_NAMES})=|(?:Settings|build)\([^)]*\b(?:{_FIELDS})=|[(,] ?(?:{_UPPER})='
    r"|\b(?:idle_timeout_s|max_lifetime_s)=\d"
)

GENEROUS_LIMITS = (
    "its subject is not the limits, which tests/settings/test_limits.py holds: one caller makes all its calls"
)
MAIL = "its subject is not the pace, which tests/e2e/test_mail_rate.py holds at the template's rate"
OTHER_NUMBERS = {
    "local/__main__.py": "a command of that name, no setting",
    "local/front/collector.py": "a part of the front page, no setting",
    "local/front/routes.py": "a field of an answer, no setting",
    "tests/local/test_front_collector.py": "a part of the front page, no setting",
    "stress/run.py": "short connections, one circuit and the rate of an account in production: the report names each",
    "stress/scenarios/own_cloud.py": f"{MAIL}: a rehearsal, whose report names it",
    "stress/scenarios/pool_connections.py": "one function has connections short enough to wait for, as the report says",
    "stress/settings_reader.py": "what the report shows is compared with what the functions have",
    "tests/e2e/cloud.py": MAIL,
    "tests/e2e/test_recursion.py": "circuits that open for a second make many rounds in one minute",
    "tests/e2e/test_mail_rate.py": "it states the template's own",
    "tests/bench/test_capacity.py": "a number of a made-up run, which its page names",
    "tests/clients/conftest.py": GENEROUS_LIMITS,
    "tests/failover/client_fleet.py": GENEROUS_LIMITS,
    "tests/judge/test_history.py": "the limits of a made-up history, which the judge takes from the history itself",
    "tests/integration/failover/test_health.py": GENEROUS_LIMITS,
    "tests/integration/health/test_faults.py": GENEROUS_LIMITS,
    "tests/integration/health/test_deep.py": "what is late at one a second and at fourteen is the subject",
    "tests/integration/jobs/test_admin.py": "the number that is set is the subject: it becomes the role's limit",
    "tests/integration/jobs/test_end_to_end.py": MAIL,
    "tests/integration/crash_recovery/test_jobs.py": "a job killed while it waits for its send slot needs a long wait",
    "tests/integration/crash_recovery/test_lost_answers.py": "answers are lost on purpose; an open circuit hides it",
    "tests/integration/function_client.py": GENEROUS_LIMITS,
    "tests/integration/shared/test_failures_to_connect.py": "the shortest wait of libpq, for a silent server",
    "tests/crash_recovery/environment.py": f"{GENEROUS_LIMITS}; and {MAIL}",
    "tests/rollback/rehearsal.py": f"{GENEROUS_LIMITS}; and {MAIL}",
    "tests/local/test_up_options.py": "the number that is set is the subject: the stand-in's pool follows it",
    "tests/lock_order/write_operations.py": GENEROUS_LIMITS,
    "tests/restore/rehearsal.py": f"{GENEROUS_LIMITS}; and {MAIL}",
    "tests/schemathesis/test_conformance.py": GENEROUS_LIMITS,
    "tests/soak/soak_run.py": GENEROUS_LIMITS,
    "tests/template/test_connections.py": "it states the template's own",
    "tests/template/release_changes.py": "another value of each parameter is the subject",
    "tests/template/test_releases.py": "what parameters make of a release is the subject",
    "tests/unit/api/test_api.py": "a limit of one is the subject",
    "tests/unit/api/test_limits.py": "a limit of one or two is the subject",
    "tests/unit/database/test_connection.py": "how the timeouts reach libpq is the subject",
    "tests/unit/tools/test_mutants.py": "a text of another program, no setting",
    "tests/unit/worker/test_app.py": "that the settings reach the worker is the subject",
    "tests/unit/pretraffic/test_synthetic_calls.py": "it takes the template's own",
    "tests/unit/circuit/test_breaker.py": "a circuit that never opens is the subject",
    "tests/unit/shared/test_settings.py": "how settings are read is the subject",
    "tests/unit/shared/test_container.py": "that the number of retries is followed is the subject, without its pauses",
}


@pytest.mark.parametrize("front", ["http://127.0.0.1:3000"])
def test_the_local_cloud_has_every_number_of_the_template(front: str) -> None:
    """It says where its parts are, and nothing else."""
    given = set(build_parameters(database_port=5432, front=front, authority=Path("authority.pem")))
    assert given == LOCAL
    assert given <= set(PARAMETERS)


def test_the_local_cloud_uses_its_own_database() -> None:
    """The emulator has no RDS Proxy, and the template's default is to create one."""
    given = build_parameters(database_port=5432, front="http://127.0.0.1:3000", authority=None)
    assert (given["DatabaseMode"], given["DatabaseHost"]) == ("existing", "127.0.0.1")


def test_a_local_cloud_without_the_proxy_alone_goes_without_tls() -> None:
    """PostgreSQL itself is built without it there."""
    given = build_parameters(database_port=5432, front="http://127.0.0.1:3000", authority=None)
    assert set(given) == LOCAL - {"DatabaseSslRootCert"} | {"DatabaseSslMode"}
    assert given["DatabaseSslMode"] == "disable"


def test_whoever_needs_another_number_says_so() -> None:
    """A file that is new here belongs into OTHER_NUMBERS, with its reason; one that follows the defaults does not."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("local", "stress", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path.parent.name not in {"settings", "mutations"} and SETS_ONE.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(OTHER_NUMBERS)


@pytest.mark.parametrize(
    "text",
    [
        'options = ("--parameter", "MailRate=1000")',
        '{"MAIL_RATE": "1000"}',
        'Settings(cursor_secret="x", limits=GENEROUS)',
        "Settings(retry=never)",
        'model_copy(update={"limits": GENEROUS})',
        "processes(STATE_TABLE=table, CIRCUITS=NEVER)",
        "Connector(dial, idle_timeout_s=20, max_lifetime_s=60, clock=monotonic)",
    ],
)
def test_another_number_is_found_however_it_is_set(text: str) -> None:
    """The test tries each way to set one."""
    assert SETS_ONE.search(text)
