"""The pages, in a real browser."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import open_chromium, read_text, wait_for_element, wait_on_page
from tests.e2e.cloud import RunningCloud, get_next_serial, wait_until
from tests.e2e.cloud_users import CloudUsers
from tests.settings.test_dashboard import read_widgets


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """Return what the browser has logged since the last call."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def errors(browser: webdriver.Chrome) -> list[str]:
    """Return the errors of the page."""
    return [entry["message"] for entry in log(browser, "browser") if entry["level"] == "SEVERE"]


def hosts_asked(browser: webdriver.Chrome) -> set[str]:
    """Return every host that the page has sent a request to."""
    events = [json.loads(entry["message"])["message"] for entry in log(browser, "performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return {urlsplit(url).netloc for url in urls if urlsplit(url).scheme in ("http", "https", "ws", "wss")}


def select_operation(operation_id: str) -> str:
    """Return the selector of an operation on the documentation's page, which escapes the dots of its id."""
    tag = operation_id.partition(".")[0]
    escaped = operation_id.replace(".", r"\\.")
    return f"[id='operations-{tag}-{escaped}']"


def keep_screenshot(browser: webdriver.Chrome, name: str) -> None:
    """Save a screenshot if SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_the_documentation_works_offline_and_tries_a_call(
    cloud: RunningCloud, users: CloudUsers, browser: webdriver.Chrome
) -> None:
    """It lists all operations, makes a call with a token and shows the answer, and asks no other host for anything."""
    number = users.register()["number"]
    token = str(users.make_staff().headers["Authorization"]).removeprefix("Bearer ")
    browser.get(f"{cloud.url}/docs")
    members = select_operation("members.list")
    wait_for_element(browser, members)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".opblock")) == len(_operations(cloud))
    keep_screenshot(browser, "docs")

    wait_for_element(browser, "button.authorize").click()
    wait_for_element(browser, ".auth-container input").send_keys(token)
    wait_for_element(browser, ".auth-container button[type=submit], .auth-btn-wrapper button.authorize").click()
    wait_for_element(browser, ".btn-done").click()
    wait_for_element(browser, f"{members} button.opblock-summary-control").click()
    wait_for_element(browser, f"{members} .try-out__btn").click()
    field = wait_for_element(browser, f"{members} tr[data-param-name=number] input")
    field.send_keys(number)
    wait_for_element(browser, f"{members} button.execute").click()
    answer = f"{members} .live-responses-table .response-col_description pre"
    wait_on_page(browser, lambda b: number in read_text(b, answer))
    keep_screenshot(browser, "docs-tried")
    assert hosts_asked(browser) == {urlsplit(cloud.origin).netloc}
    assert errors(browser) == []


def test_the_documentation_fills_in_a_fresh_key_and_the_story(cloud: RunningCloud, browser: webdriver.Chrome) -> None:
    """A call is one click away: its body is the story's, its key is new, and after the answer it is another one."""
    browser.get(f"{cloud.url}/docs")
    agents = select_operation("agents.create")
    wait_for_element(browser, f"{agents} button.opblock-summary-control").click()
    wait_for_element(browser, f"{agents} .try-out__btn").click()
    key = wait_for_element(browser, f"{agents} tr[data-param-name=Idempotency-Key] input")
    body = wait_for_element(browser, f"{agents} textarea")
    application = json.loads(str(body.get_attribute("value")))
    assert application["full_name"] == "Arta Krasniqi"
    body.send_keys(Keys.CONTROL, "a")
    body.send_keys(json.dumps({**application, "email": f"arta.{get_next_serial()}@example.test"}))
    first = str(key.get_attribute("value"))
    assert re.fullmatch("[0-9a-f]{32}", first)
    wait_for_element(browser, f"{agents} button.execute").click()
    status = f"{agents} .live-responses-table .response .response-col_status"
    wait_on_page(browser, lambda b: read_text(b, status).startswith("201"))
    assert f"Idempotency-Key: {first}" in wait_for_element(browser, f"{agents} .curl-command").text
    wait_on_page(browser, lambda _: key.get_attribute("value") != first)
    assert re.fullmatch("[0-9a-f]{32}", str(key.get_attribute("value")))

    claims = select_operation("claims.list")
    wait_for_element(browser, f"{claims} button.opblock-summary-control").click()
    wait_for_element(browser, f"{claims} .try-out__btn").click()
    fields = browser.find_elements(By.CSS_SELECTOR, f"{claims} tr[data-param-name] :is(input, select)")
    assert [field.get_attribute("value") for field in fields] == ["20", "", "", "", "", "", ""]
    assert errors(browser) == []


def test_the_inbox_shows_a_mail_rendered(cloud: RunningCloud, users: CloudUsers, browser: webdriver.Chrome) -> None:
    """Subject and recipient are in the list, the HTML is in a frame of its own, and no script of a mail runs."""
    member = users.register(language="en", full_name="Zoë <script>document.title='run'</script>")
    wait_until(lambda: cloud.list_mails(member["email"]), "the welcome mail")
    browser.get(f"{cloud.origin}/_local/mail")
    wait_on_page(browser, lambda b: member["email"] in b.page_source)
    keep_screenshot(browser, "mail")
    frames = browser.find_elements(By.CSS_SELECTOR, "iframe[sandbox]")
    assert frames
    assert all("allow-scripts" not in str(frame.get_attribute("sandbox")) for frame in frames)
    assert browser.title != "run"
    assert hosts_asked(browser) == {urlsplit(cloud.origin).netloc}
    assert errors(browser) == []


def _operations(cloud: RunningCloud) -> list[str]:
    paths = cloud.make_client().get("/openapi.json").json()["paths"]
    return [f"{method} {path}" for path, methods in paths.items() for method in methods]


def test_the_local_dashboard_draws_the_deployed_one(browser: webdriver.Chrome, cloud: RunningCloud) -> None:
    """Each of its widgets, with what the emulator has for it; it asks nobody else, and runs no script."""
    cloud.make_client().get("/health/deep").raise_for_status()

    def find_charts() -> list[str]:
        browser.get(f"{cloud.origin}/_local/dashboard")
        charts = {
            each.find_element(By.TAG_NAME, "figcaption").text: each
            for each in browser.find_elements(By.TAG_NAME, "figure")
        }
        drawn = charts["Connections in use, %"].find_elements(By.TAG_NAME, "path")
        return list(charts) if drawn else []

    titles = wait_until(find_charts, "a value on the dashboard")
    assert titles == [widget["properties"]["title"] for widget in read_widgets() if widget["type"] == "metric"]
    headings = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "main > div > h2")]
    assert headings == [w["properties"]["markdown"].lstrip("# ") for w in read_widgets() if w["type"] == "text"]
    lists = [each.text for each in browser.find_elements(By.TAG_NAME, "section")]
    assert "WakeSomebodyAlarm" in lists[0]
    assert "LookTomorrowAlarm" in lists[0]
    keep_screenshot(browser, "dashboard")
    assert errors(browser) == []
    assert hosts_asked(browser) <= {urlsplit(cloud.origin).netloc}
    assert browser.find_elements(By.TAG_NAME, "script") == []


def test_a_problems_link_ends_at_its_section(cloud: RunningCloud, browser: webdriver.Chrome) -> None:
    """Also after the operations have appeared above it and pushed it down."""
    browser.get(f"{cloud.url}/docs#problem-stale-version")
    wait_for_element(browser, "#problem-stale-version")
    wait_on_page(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, ".opblock")) > 30)
    look = "return document.getElementById('problem-stale-version').getBoundingClientRect().top"
    wait_on_page(browser, lambda b: abs(b.execute_script(look)) < 5)
