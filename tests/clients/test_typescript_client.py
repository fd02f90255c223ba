"""The TypeScript client with its layer, run by Node.js: by itself, and against a local cloud whose answers are lost."""

import json
import shutil
import subprocess

import pytest

from tests.clients.effects import EffectCheck
from tests.crash_recovery.lossy_proxy import LossyProxy
from tests.e2e.cloud import RunningCloud
from tests.e2e.cloud_users import CloudUsers
from tests.services import ROOT

CLIENT = ROOT / "build/clients/typescript"
MEMBERS, AT_ONCE = 250, 8
HANGS_S = 600.0  # no machine needs as long for the thousand calls: on two busy processors they have taken two minutes
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENT / "dist/index.js").exists(), reason="`make clients` had no npm"
)


def run_node(*arguments: str) -> str:
    """Return what a program of Node.js prints; fail with its errors if it fails."""
    done = subprocess.run(["node", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_layer_does_what_its_own_tests_say() -> None:
    assert "# fail 0" in run_node("--test", "--test-reporter", "tap", str(CLIENT / "test/retrying-fetch.test.js"))


def test_a_thousand_calls_have_a_thousand_effects_though_every_fifth_answer_is_lost(
    cloud: RunningCloud, proxy: LossyProxy, effects: EffectCheck
) -> None:
    """The caller writes no line about keys, versions, repeats or waiting."""
    arguments = (f"{proxy.url}/api", cloud.get_token(role="staff"), str(MEMBERS), str(AT_ONCE))
    ids: list[str] = json.loads(run_node("tests/clients/change_members.mjs", *arguments))
    assert len(set(ids)) == MEMBERS
    effects.require_each_once("typescript", ids)


def test_a_claim_with_a_document_is_filed_and_listed_page_by_page(cloud: RunningCloud, proxy: LossyProxy) -> None:
    """Uploads and cursors too; every fifth answer is lost, and every other of the store: three claims, three files."""
    _, signed_in = CloudUsers(cloud).make_member()
    token = str(signed_in.headers["Authorization"]).removeprefix("Bearer ")
    seen = json.loads(run_node("tests/clients/file_claims.mjs", f"{proxy.url}/api", token))
    assert seen["documents"] == ["available"] * 3
    assert seen["sent"] == 6
    assert seen["listed"] == seen["filed"][::-1]
