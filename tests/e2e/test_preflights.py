"""Preflights over the wire and in a real browser: what a script of another origin is allowed."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from selenium import webdriver

from tests.browser import open_chromium
from tests.e2e.cloud import RunningCloud

PREFLIGHT = {
    "Origin": "https://app.example.test",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,idempotency-key",
}
# Each call has a header that no script may send without a preflight; what the script could read comes back.
SCRIPT = """
const [url, method, done] = arguments;
fetch(url, {method, headers: {"If-Match": '"1"'}}).then(
    async reply => done(
        [reply.status, (await reply.json()).type, reply.headers.get("X-Request-Id"), reply.headers.get("Allow")]),
    error => done([0, String(error), null, null]));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Run a browser that no earlier test has given an answer to keep."""
    with open_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def paths(cloud: RunningCloud) -> list[str]:
    """Return every path of the description, an unknown one, and the stage's own."""
    described = cloud.make_client().get("/openapi.json").json()["paths"]
    own = [re.sub(r"{\w+}", "01a20ba6-afb6-76d1-9556-a703ff01d17a", path) for path in described]
    return [*own, "/nowhere/at/all", "/"]


def test_every_path_answers_preflights_with_what_every_answer_carries(cloud: RunningCloud) -> None:
    """Every function answers 204 through the gateway, with an id, HSTS, nosniff and what may be sent."""
    client = cloud.make_client()
    for path in paths(cloud):
        reply = client.request("OPTIONS", path, headers=PREFLIGHT)
        assert (reply.status_code, reply.content) == (204, b""), path
        assert UUID(reply.headers["X-Request-Id"])
        assert reply.headers["Strict-Transport-Security"].startswith("max-age=63072000")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "DELETE" in reply.headers["Access-Control-Allow-Methods"]
        assert "If-Match" in reply.headers["Access-Control-Allow-Headers"]
        assert reply.headers["Access-Control-Max-Age"] == "7200"


def test_options_by_itself_names_what_is_served(cloud: RunningCloud) -> None:
    """This includes health, whose own function is not called."""
    client = cloud.make_client()
    for path, allowed in {"/agents": "GET, HEAD, POST, OPTIONS", "/health": "GET, HEAD, OPTIONS"}.items():
        reply = client.request("OPTIONS", path)
        assert (reply.status_code, reply.headers["Allow"]) == (204, allowed)


@pytest.mark.parametrize(
    ("method", "path", "status", "problem"),
    [
        ("DELETE", "/nowhere", 404, "not-found"),
        ("DELETE", "/agents", 405, "method-not-allowed"),
        ("PATCH", "/members/me", 401, "unauthenticated"),
    ],
)
def test_a_script_of_another_origin_reads_what_was_wrong(
    cloud: RunningCloud, browser: webdriver.Chrome, method: str, path: str, status: int, problem: str
) -> None:
    """The browser lets the call through and shows its answer: the functions' 404 and 405, the gateway's 401."""
    browser.get(cloud.url.replace("127.0.0.1", "localhost") + "/openapi.json")
    seen: list[Any] = browser.execute_async_script(SCRIPT, cloud.url + path, method)
    assert seen[:2] == [status, f"urn:interdomestik:problem:{problem}"]
    assert seen[2]
    assert (seen[3] is not None) == (status == 405)
