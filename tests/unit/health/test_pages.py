"""The pages' function: all that has no other function, apart from the health check."""

import pytest

from health import app, pages
from shared.settings import Settings
from tests.fakes.state import InMemoryStateStore
from tests.harness import Client, wired
from tests.unit.health.reports import World


@pytest.fixture
def client() -> Client:
    return Client(pages.api, wired(Settings(cursor_secret="tests"), state=InMemoryStateStore(World().clock)))


def test_an_address_that_does_not_exist_is_404(client: Client) -> None:
    """Whatever its method."""
    replies = [client.call(method, "/{proxy+}", proxy="wp-login.php") for method in ("GET", "POST", "DELETE")]

    assert {(reply.status, reply.problem) for reply in replies} == {(404, "not-found")}


@pytest.mark.parametrize("path", ["/health", "/health/deep"])
def test_a_wrong_method_of_health_is_told_the_right_ones(client: Client, path: str) -> None:
    """It ends here and not at the health function, which serves those alone."""
    reply = client.call("POST", path)

    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert ("GET", path) in app.api.operations


def test_the_description_and_its_page_are_served_here(client: Client) -> None:
    """And not by the health function: fifty readers of the page must not keep a health check waiting."""
    assert client.call("GET", "/openapi.json").json["openapi"] == "3.1.0"
    assert client.call("GET", "/docs").headers["Content-Type"] == "text/html; charset=utf-8"
    assert {resource for _, resource in app.api.operations} == {"/health", "/health/deep"}
