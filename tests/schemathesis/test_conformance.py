"""The running service against its own description: every example, thousands of generated calls, and no failed check."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.settings import DEFAULT_LIMITS
from tests.e2e.cloud import ROOT, RunningCloud, run_cloud
from tests.e2e.cloud_users import CloudUsers
from tools.openapi.story.members import REGISTRATION

LEAST_CALLS = 2_000
CONFIG = Path(__file__).with_name("schemathesis.toml")
SEED = 20261124
UNLIMITED = json.dumps(dict.fromkeys(DEFAULT_LIMITS, (1_000_000, 1)))
RATE = "50/s"  # below the gateway's throttles, which answer before anything else is looked at
RUN_S = 900
UNREADABLE = (400, 405, 413, 415, 422, 428, 500)

JSON = dict[str, Any]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Yield a local cloud whose limits do not turn generated calls away: those have tests of their own."""
    with run_cloud(tmp_path_factory.mktemp("cloud"), "--parameter", f"Limits={UNLIMITED}") as started:
        yield started


@pytest.fixture(scope="module")
def tokens(cloud: RunningCloud) -> dict[str, str]:
    """Somebody of each role; for all generated calls together every role's operations are reached."""
    people = CloudUsers(cloud)
    arta, agent = people.make_agent()
    # The examples name the code of the story's agent.
    cloud.query_rows(
        "UPDATE agents SET referral_code = %s WHERE id = %s RETURNING id", REGISTRATION["referral_code"], arta["id"]
    )
    clients = {"admin": people.make_staff("admin"), "member": people.make_member()[1], "agent": agent}
    return {role: str(client.headers["Authorization"]) for role, client in clients.items()}


def list_answered(cloud: RunningCloud) -> set[str]:
    """Return what was logged of each call that a function has answered: what the gateway turns away is not counted."""
    return set(re.findall(r'\{.*"message":"request".*\}', cloud.read_logs()))


def run(cloud: RunningCloud, folder: Path, token: str, *options: str) -> list[JSON]:
    """Run as one role and return the calls that were answered; fail with the output if any check fails."""
    before = list_answered(cloud)
    command = [
        *[str(ROOT / ".venvs/dev/bin/schemathesis"), "--no-color", "--config-file", str(CONFIG)],
        *["run", f"{cloud.url}/openapi.json", "--checks", "all"],
        *["--header", f"Authorization: {token}", "--seed", str(SEED), "--max-examples", "25", "--workers", "1"],
        *["--rate-limit", RATE, *options],
    ]
    hooks = str(CONFIG.with_name("hooks.py"))
    ours = os.pathsep.join(str(ROOT / part) for part in ("layers/shared", "functions/claims"))
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": hooks, "PYTHONPATH": ours}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    return [json.loads(line) for line in list_answered(cloud) - before]


def list_operations(cloud: RunningCloud) -> set[tuple[str, str]]:
    """Return the method and path of every operation of the description."""
    paths = cloud.make_client().get("/openapi.json").json()["paths"]
    return {(method.upper(), path) for path, item in paths.items() for method in item}


def test_every_example_is_taken_as_it_stands(cloud: RunningCloud, tokens: dict[str, str], tmp_path: Path) -> None:
    """Every operation is called with its examples, and none is refused because of what was sent."""
    answered = [call for token in tokens.values() for call in run(cloud, tmp_path, token, "--phases", "examples")]
    assert {(call["method"], call["resource"]) for call in answered} >= list_operations(cloud)
    assert [call for call in answered if call["status"] in UNREADABLE] == []
    assert {call["status"] for call in answered if call["resource"] in ("/agents", "/claims", "/members")} >= {200, 201}


def test_every_check_holds_for_thousands_of_generated_calls(
    cloud: RunningCloud, tokens: dict[str, str], tmp_path: Path
) -> None:
    """They are made as admin, member and agent; afterwards the service is well, and its logs name nobody."""
    calls = {role: len(run(cloud, tmp_path, token)) for role, token in tokens.items()}
    assert sum(calls.values()) >= LEAST_CALLS, calls
    assert cloud.make_client().get("/health").status_code == 200
    assert '"level":"ERROR"' not in cloud.read_logs()
    assert (
        cloud.find_personal_data_in_logs(least=10) == []
    )  # generated texts may be as short as a word that any log has
