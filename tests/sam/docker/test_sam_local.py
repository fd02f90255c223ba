"""The functions in SAM's containers, on the stack of a local cloud: every event gets the answer of the table."""

import ipaddress
import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.cloud import RunningCloud
from tests.sam import answers
from tests.sam.docker.conftest import SamLocal, read_answer
from tests.sample_people import make_applicant

# `sam local invoke` makes its image anew for each event, which takes five to eight seconds: one of each function here,
# all of them with INVOKE=all. All are sent to `sam local start-lambda`, whose containers of the same image are kept.
OF_EACH_FUNCTION = [
    "agents/get_agents",
    "claims/get_claims_claim_id",
    "health/get_health_deep",
    "housekeeping/every_hour",
    "jobs_api/get_jobs",
    "members/get_members_me",
    "operations/circuits",
    "pages/get_openapi_json",
    "relay/nudge_queue",
    "worker/queue_high",
]
LISTENING = "0A"  # as Linux names the state
AT_ONCE = 4  # functions whose containers are at work
INVOKED = answers.list_names() if os.environ.get("INVOKE") == "all" else OF_EACH_FUNCTION


@pytest.mark.parametrize("name", INVOKED)
def test_an_event_is_answered(sam: SamLocal, name: str) -> None:
    """By `sam local invoke`, whose status says nothing of the function: what it prints does."""
    done = sam.invoke(answers.find_function(name), answers.EVENTS / f"{name}.json")
    assert done.returncode == 0, done.stderr
    assert answers.find_faults(name, read_answer(done.stdout)) == []
    assert "housekeeping_task_failed" not in done.stderr  # the answer counts what a task did, also if it failed


def test_a_function_that_fails_is_seen(sam: SamLocal, tmp_path: Path) -> None:
    """`sam local invoke` exits 0 all the same."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"command": "no-such-command"}))
    done = sam.invoke("AdminFunction", event)
    assert done.returncode == 0
    [fault] = answers.find_faults("operations/circuits", read_answer(done.stdout))
    assert "unknown command" in fault


@pytest.fixture(scope="module")
def kept_answers(sam: SamLocal, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every event's answer by `sam local start-lambda`, which waits a second after each: several functions at once."""
    functions = [list(names) for _, names in groupby(answers.list_names(), answers.find_function)]
    log = tmp_path_factory.mktemp("lambda") / "log"
    with sam.serve("start-lambda", log) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        return {name: answer for found in pool.map(partial(ask, client), functions) for name, answer in found.items()}


def ask(client: httpx.Client, names: list[str]) -> dict[str, Any]:
    """Return the answers to the events of a function, as `aws lambda invoke --endpoint-url` would ask for them."""
    path = f"/2015-03-31/functions/{answers.find_function(names[0])}/invocations"
    return {name: client.post(path, json=answers.load_event(name)).json() for name in names}


@pytest.mark.parametrize("name", answers.list_names())
def test_every_event_is_answered_by_kept_containers(kept_answers: dict[str, Any], name: str) -> None:
    """The table says how each is answered."""
    assert answers.find_faults(name, kept_answers[name]) == []


def test_the_jobs_of_the_messages_are_done(cloud: RunningCloud, kept_answers: dict[str, Any]) -> None:
    """The workers in the containers have sent the mails and made the sign-in."""
    assert {"worker/queue_high", "worker/queue_normal", "worker/queue_low"} <= set(kept_answers)
    rows = cloud.query_rows("SELECT DISTINCT state FROM outbox WHERE id::text BETWEEN %s AND %s", *answers.JOBS)
    assert rows == [{"state": "done"}]


def test_the_api_is_served(sam: SamLocal, tmp_path: Path) -> None:
    """By `sam local start-api`: it has no authorizer, so whoever must sign in gets the function's own 401."""
    with sam.serve("start-api", tmp_path / "log") as client:
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "healthy")
        applied = client.post("/agents", json=make_applicant(), headers={"Idempotency-Key": "start-api"})
        assert (applied.status_code, applied.json()["state"]) == (201, "pending")
        refused = client.get("/claims")
        assert (refused.status_code, refused.json()["status"]) == (401, 401)
        nowhere = client.get("/no/such/page")
        assert nowhere.status_code == 404


def test_nothing_listens_on_another_address(sam: SamLocal, tmp_path: Path) -> None:
    """While functions are at work: of the cloud, of the forwarder to it, and of `sam local` itself."""
    with sam.serve("start-api", tmp_path / "log") as client:
        assert client.get("/health/deep").json()["status"] == "healthy"
        addresses = list_listening_addresses()
    assert "127.0.0.1" in addresses
    assert {address for address in addresses if not ipaddress.ip_address(address).is_loopback} == set()


def list_listening_addresses() -> set[str]:
    """Return the addresses of this network namespace where servers listen (proc_pid_net(5))."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING:
                packed = bytes.fromhex(words[1].partition(":")[0])
                parts = struct.unpack(f"<{len(packed) // 4}I", packed)
                found.add(str(ipaddress.ip_address(struct.pack(f">{len(parts)}I", *parts))))
    return found
