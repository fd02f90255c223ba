"""The pages' function: all that has no other function, apart from the health check."""

import base64
import hashlib
import re

import pytest

from health import app
from pages import app as pages
from shared.api.responses import SECURITY_HEADERS
from shared.settings import Settings
from tests.api_client import ApiClient, make_container
from tests.fakes.admission import InMemoryAdmissionStore
from tests.unit.health.reports import ScriptedDependencies


@pytest.fixture
def client() -> ApiClient:
    return ApiClient(
        pages.api,
        make_container(
            Settings(cursor_secret="tests"), admission_store=InMemoryAdmissionStore(ScriptedDependencies().clock)
        ),
    )


def test_an_address_that_does_not_exist_is_404(client: ApiClient) -> None:
    """This holds for any method."""
    replies = [client.call(method, "/{proxy+}", proxy="wp-login.php") for method in ("GET", "POST", "DELETE")]

    assert {(reply.status, reply.problem) for reply in replies} == {(404, "not-found")}
    assert all(reply.headers.items() >= SECURITY_HEADERS.items() for reply in replies)


@pytest.mark.parametrize("path", ["/health", "/health/deep"])
def test_a_wrong_method_of_health_is_answered_with_the_right_ones(client: ApiClient, path: str) -> None:
    """It ends here and not at the health function, which serves those alone."""
    reply = client.call("POST", path)

    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert ("GET", path) in app.api.operations


def test_the_description_and_its_page_are_served_here(client: ApiClient) -> None:
    """They are not served by the health function: fifty readers must not keep a health check waiting."""
    assert client.call("GET", "/openapi.json").json["openapi"] == "3.1.0"
    assert client.call("GET", "/docs").headers["Content-Type"] == "text/html; charset=utf-8"
    assert {resource for _, resource in app.api.operations} == {"/health", "/health/deep"}


def test_the_page_runs_only_what_it_was_built_with(client: ApiClient) -> None:
    """Each inline script and style has its hash in the policy; nothing else runs, frames the page or is asked."""
    reply = client.call("GET", "/docs")
    policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
    inline = {
        kind: {hash_source(text) for text in re.findall(rf"<{tag}>(.*?)</{tag}>", reply.body, re.S)}
        for kind, tag in (("script-src", "script"), ("style-src", "style"))
    }

    assert {kind: set(policy[kind].split()) for kind in inline} == inline
    assert [len(found) for found in inline.values()] == [4, 2]
    assert (policy["default-src"], policy["frame-ancestors"], policy["connect-src"]) == ("'none'", "'none'", "'self'")
    assert "unsafe" not in reply.headers["Content-Security-Policy"]


def hash_source(text: str) -> str:
    """Return the policy's source expression for an inline element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_keeps_no_token(client: ApiClient) -> None:
    """A token that a page leaves in the browser's storage is there for every script that ever runs on this origin."""
    page = client.call("GET", "/docs").body

    assert "persistAuthorization: false" in page
    assert "persistAuthorization: true" not in page


def test_the_page_has_a_current_sanitiser(client: ApiClient) -> None:
    """Swagger UI carries a DOMPurify of its own: not older than the one that was current in October 2026."""
    page = client.call("GET", "/docs").body
    [version] = set(re.findall(r'\.version="(3\.[0-9]+\.[0-9]+)",[^;]{0,40}removed=\[\]', page))

    assert tuple(map(int, version.split("."))) >= (3, 4, 13)
