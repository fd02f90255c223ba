"""The documentation's page in a real browser: what Swagger UI leaves out for keyboards and screen readers is mended.

The page and the description are served as their function and the local cloud serve them; no call reaches an API.
"""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from local.front.docs_page import fill_in_token
from local.http_server import HttpResponse
from pages import app as pages
from shared.settings import Settings
from tests.accessibility import list_axe_violations
from tests.api_client import ApiClient, make_container
from tests.browser import open_chromium, wait_for_element, wait_on_page
from tests.e2e.test_pages import errors, keep_screenshot, select_operation
from tests.fakes.admission import InMemoryAdmissionStore
from tests.local.sample_front import SIGNED_IN
from tests.unit.health.reports import ScriptedDependencies

DESK, PHONE = 1280, 390
PROBLEM = b'{"type": "urn:interdomestik:problem:unauthenticated", "title": "Sign in first", "status": 401}'


class DocumentationServer(BaseHTTPRequestHandler):
    """Serves the page of the function, the same with a token, and the description; refuses every call."""

    answers: dict[str, HttpResponse]

    def do_GET(self) -> None:
        """Answer."""
        refusal = HttpResponse(401, [("Content-Type", "application/problem+json")], PROBLEM)
        answer = self.answers.get(self.path, refusal)
        self.send_response(answer.status)
        for name, value in [*answer.headers, ("Content-Length", str(len(answer.body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def make_answers() -> dict[str, HttpResponse]:
    """Return what the function answers, by the path at which the local cloud serves it."""
    store = InMemoryAdmissionStore(ScriptedDependencies().clock)
    client = ApiClient(pages.api, make_container(Settings(cursor_secret="tests"), admission_store=store))

    def read(path: str) -> HttpResponse:
        reply = client.call("GET", path)
        return HttpResponse(reply.status, list(reply.headers.items()), reply.body.encode())

    page = read("/docs")
    return {
        "/api/docs": page,
        "/api/openapi.json": read("/openapi.json"),
        "/_local/docs": fill_in_token(page, address="/api/docs", signed_in=SIGNED_IN),
    }


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Yield the address of the server."""
    handler = type("Handler", (DocumentationServer,), {"answers": make_answers()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def choose_scheme(browser: webdriver.Chrome, scheme: str) -> None:
    """Have the browser's system be light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def open_docs(browser: webdriver.Chrome, address: str, width: int = DESK, scheme: str = "light") -> None:
    """Open the page and wait until it lists the operations."""
    choose_scheme(browser, scheme)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    wait_on_page(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, ".opblock")) > 30)
    wait_on_page(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".models button"))


def click(browser: webdriver.Chrome, selector: str) -> None:
    """Click what can be seen, once it is there, wherever a phone's zoom has put it."""
    browser.execute_script("arguments[0].click()", wait_for_element(browser, selector))


def leave_as_it_is(_browser: webdriver.Chrome) -> None:
    """Do nothing: all operations are listed, none is open."""


def try_a_read(browser: webdriver.Chrome) -> None:
    """Open the list of members, and call it."""
    operation = select_operation("members.list")
    click(browser, f"{operation} button.opblock-summary-control")
    click(browser, f"{operation} .try-out__btn")
    click(browser, f"{operation} button.execute")
    wait_for_element(browser, f"{operation} .live-responses-table .response-col_description pre")


def fill_in_a_write(browser: webdriver.Chrome) -> None:
    """Open the transition of a claim, whose body has two examples, with the fields that are filled in."""
    operation = select_operation("claims.transition")
    click(browser, f"{operation} button.opblock-summary-control")
    click(browser, f"{operation} .try-out__btn")
    wait_for_element(browser, f"{operation} textarea")


def show_a_schema(browser: webdriver.Chrome) -> None:
    """Open a body's schema in place of its example, and one in the list of all schemas."""
    operation = select_operation("claims.create")
    click(browser, f"{operation} button.opblock-summary-control")
    click(browser, f"{operation} .tab li:nth-child(2) button")
    click(browser, ".models .json-schema-2020-12-accordion")


def sign_in(browser: webdriver.Chrome) -> None:
    """Open the form for a token."""
    click(browser, "button.authorize")
    wait_for_element(browser, ".modal-ux input, .modal-ux .auth-btn-wrapper")


STATES: dict[str, Callable[[webdriver.Chrome], None]] = {
    "listed": leave_as_it_is,
    "read": try_a_read,
    "write": fill_in_a_write,
    "schema": show_a_schema,
    "token": sign_in,
}


# The local page is the deployed one with a line more, so in dark it stands for both.
PAGES = [("/api/docs", "light"), ("/_local/docs", "light"), ("/_local/docs", "dark")]


@pytest.mark.parametrize(("path", "scheme"), PAGES)
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_on_the_documentation(
    browser: webdriver.Chrome, origin: str, state: str, width: int, path: str, scheme: str
) -> None:
    """Each state of the page is judged, signed in and signed out, at a desk and on a phone, light and dark."""
    open_docs(browser, origin + path, width, scheme)
    STATES[state](browser)
    time.sleep(0.5)  # colours and heights change by transitions
    keep_screenshot(browser, f"docs-{state}-{width}-{scheme}")
    assert list_axe_violations(browser) == []


@pytest.mark.parametrize("state", STATES)
def test_the_documentation_is_as_wide_as_a_phone(browser: webdriver.Chrome, origin: str, state: str) -> None:
    """Whatever is opened, so that nobody has to move the page sideways; long code scrolls by itself."""
    open_docs(browser, f"{origin}/_local/docs", PHONE)
    STATES[state](browser)
    time.sleep(0.5)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE


def test_an_operation_is_opened_and_tried_by_keyboard(browser: webdriver.Chrome, origin: str) -> None:
    """Its button is one stop, opens it and shows the same text as before; a long answer is scrolled by arrow keys."""
    open_docs(browser, f"{origin}/api/docs")
    operation = select_operation("members.list")
    button = wait_for_element(browser, f"{operation} button.opblock-summary-control")
    assert button.find_elements(By.CSS_SELECTOR, "a, [tabindex]") == []
    assert button.text.replace("\u200b", "").startswith("GET\n/members")
    button.send_keys(Keys.ENTER)
    code = wait_for_element(browser, f"{operation} .response pre.microlight")
    assert code.get_attribute("tabindex") == "0"
    assert browser.current_url.endswith("#/members/members.list"), "the address still names the operation"
    assert not [each for each in errors(browser) if "401" not in each]


def test_a_link_to_an_operation_opens_it(browser: webdriver.Chrome, origin: str) -> None:
    """Though its path is no link itself any more; the tags' links stay."""
    open_docs(browser, f"{origin}/api/docs")
    browser.get("about:blank")
    open_docs(browser, f"{origin}/api/docs#/claims/claims.create")
    wait_for_element(browser, f"{select_operation('claims.create')} .try-out__btn")
    assert str(wait_for_element(browser, "#operations-tag-claims a").get_attribute("href")).endswith("#/claims")


def read_ground(browser: webdriver.Chrome) -> str:
    """Return the colour behind the page."""
    return str(browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor"))


def test_the_documentation_is_dark_where_the_system_is(browser: webdriver.Chrome, origin: str) -> None:
    """From its first moment, and when the system changes while it is open."""
    open_docs(browser, f"{origin}/api/docs", scheme="dark")
    dark = read_ground(browser)
    assert dark == "rgb(28, 32, 34)", "Swagger UI's own ground"
    choose_scheme(browser, "light")
    assert wait_on_page(browser, lambda b: read_ground(b) != dark)
    choose_scheme(browser, "dark")
    assert wait_on_page(browser, lambda b: read_ground(b) == dark)
