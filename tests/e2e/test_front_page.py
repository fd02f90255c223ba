"""The front page of a running local cloud, as a newcomer uses it in a browser."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.accessibility import list_axe_violations, list_layout_faults
from tests.browser import leave_page, open_chromium, read_text, wait_for_element, wait_on_page
from tests.e2e.cloud import RunningCloud, wait_until
from tests.e2e.cloud_users import CloudUsers
from tests.e2e.test_circuits import LEAVES_ON_A_BUSY_MACHINE_S
from tests.e2e.test_pages import errors, hosts_asked, keep_screenshot

DESK, PHONE = 1280, 390
# a call that only staff may make; its answer in the docs page
STAFF_CALL = r"[id='operations-agents-agents\\.list']"  # the page escapes the dot of the id


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def click(browser: webdriver.Chrome, selector: str) -> None:
    """Click what can be seen, once it is there."""
    wait_for_element(browser, selector).click()


def submit(browser: webdriver.Chrome, selector: str) -> None:
    """Click what sends a form, and wait until its page has taken the place of this one."""
    leave_page(browser, lambda: click(browser, selector))


def sign_in(browser: webdriver.Chrome, cloud: RunningCloud, role: str) -> str:
    """Click the button of a role on the front page; return what the page then says of it."""
    browser.get(f"{cloud.origin}/")
    submit(browser, f"button[value={role}]")
    assert wait_for_element(browser, ".notice").text == "Signed in. The docs page has the token."
    return wait_for_element(browser, ".you p").text


@pytest.mark.writes
@pytest.mark.parametrize("role", ["member", "agent", "staff", "admin"])
def test_a_button_signs_somebody_of_each_role_in(browser: webdriver.Chrome, cloud: RunningCloud, role: str) -> None:
    """Twice, since a newcomer clicks again: the first click makes the person, the second finds them."""
    for _ in range(2):
        told = sign_in(browser, cloud, role)
        assert told.startswith(f"Signed in as {role}@interdomestik.test, {role}, until ")
    token = wait_for_element(browser, "#token").get_attribute("value")
    path = {"member": "/members/me", "agent": "/agents/me"}.get(role, "/agents")
    assert cloud.make_client(token=token).get(path).status_code == 200
    assert cloud.get_token(role=role), "make token knows the role too"
    submit(browser, "form[action='/_local/sign-out'] button")
    assert wait_for_element(browser, ".notice").text == "Signed out."
    assert browser.find_elements(By.CSS_SELECTOR, ".you") == []


@pytest.mark.writes
def test_a_sign_in_fills_the_token_of_the_docs_page(browser: webdriver.Chrome, cloud: RunningCloud) -> None:
    """A call that needs it works at once; the page asks no other host, and its policy stops nothing of it."""
    sign_in(browser, cloud, "staff")
    hosts_asked(browser), errors(browser)
    click(browser, "a.button")
    click(browser, f"{STAFF_CALL} button.opblock-summary-control")
    click(browser, f"{STAFF_CALL} .try-out__btn")
    click(browser, f"{STAFF_CALL} button.execute")
    status = f"{STAFF_CALL} .live-responses-table .response .response-col_status"
    wait_on_page(browser, lambda b: read_text(b, status).startswith("200"))
    assert "Signed in as staff@interdomestik.test" in wait_for_element(browser, ".local-sign-in").text
    assert hosts_asked(browser) == {cloud.origin.removeprefix("http://")}
    assert errors(browser) == []
    click(browser, ".local-sign-in a")
    assert browser.current_url == f"{cloud.origin}/_local/#sign-in"
    assert "local-sign-in" not in cloud.make_client().get("/docs").text, "the deployed page is as it was"


@pytest.mark.writes
def test_a_registration_is_followed_from_its_request_to_its_mail(
    browser: webdriver.Chrome, cloud: RunningCloud, users: CloudUsers
) -> None:
    """The client's id finds it on the front page and on the trace's own; the mail's button leads back."""
    member = users.register(language="en")
    [mail] = wait_until(lambda: cloud.list_mails(member["email"]), "the welcome mail")
    request_id = mail["headers"]["X-Request-Id"]
    browser.get(f"{cloud.origin}/_local/")
    wait_for_element(browser, "#find").send_keys(request_id)
    submit(browser, "form[action='/_local/requests'] button")
    wait_on_page(browser, lambda b: b.current_url.endswith(request_id))
    where = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".steps .where")]
    assert {"gateway", "audit", "MembersFunction", "outbox", "WorkerFunction", "inbox"} == set(where)
    assert where[0] == "gateway"
    found = cloud.make_client().get(f"{cloud.origin}/_local/requests/{request_id}.json").json()
    assert {job["kind"] for job in found["requests"][0]["jobs"]} == {"identity", "mail"}
    assert found["requests"][0]["mails"][0]["id"] == mail["id"]
    click(browser, ".steps .text a")
    assert wait_for_element(browser, "h2").text == mail["subject"]
    browser.switch_to.frame(wait_for_element(browser, "iframe"))
    click(browser, "a[href*='_local']")
    browser.switch_to.default_content()
    wait_on_page(browser, lambda b: b.current_url == f"{cloud.origin}/_local/#sign-in")


@pytest.mark.writes
def test_the_json_counts_what_the_database_has(cloud: RunningCloud, users: CloudUsers) -> None:
    """Each state has its line, also one that no job is in; views at the same time don't get in each other's way."""
    member = users.register()
    wait_until(lambda: cloud.list_mails(member["email"]), "the mail, whose job is then done")

    def read_counts() -> bool:
        lines = cloud.make_client().get(f"{cloud.origin}/_local/outbox.json").json()["found"]
        rows = cloud.query_rows("SELECT state, count(*) AS jobs FROM outbox GROUP BY state")
        counted = {row["state"]: row["jobs"] for row in rows}
        assert len(lines) == 7
        return bool({line["state"]: line["jobs"] for line in lines if line["jobs"]} == counted)

    wait_until(read_counts, "the same counts")
    with ThreadPoolExecutor(8) as pool:
        views = list(pool.map(lambda _: cloud.make_client().get(f"{cloud.origin}/_local/index.json").json(), range(8)))
    assert {part["problem"] for view in views for part in view.values() if "problem" in part} == {""}


@pytest.mark.writes
def test_a_button_holds_a_circuit_and_lets_it_go(browser: webdriver.Chrome, cloud: RunningCloud) -> None:
    """As `make circuits` does, which shows the same; the page says so first."""
    chosen = "#circuits input[value=storage] ~ .choice button[aria-pressed=true]"
    browser.get(f"{cloud.origin}/_local/")
    try:
        submit(browser, "#circuits input[value=storage] ~ .choice button[value=open]")
        assert wait_for_element(browser, ".notice").text.startswith("The circuit is held open.")
        assert wait_for_element(browser, chosen).text == "open"
        assert "The circuit storage is open, because somebody holds it" in wait_for_element(browser, ".state").text
        table = cloud.run_command("circuits").stdout
        assert [line.split()[1:3] for line in table.splitlines() if line.startswith("storage")] == [["open", "yes"]]
    finally:
        for state in ("closed", "auto"):  # from open, auto would wait for a probe
            cloud.run_command("circuits", "--name", "storage", "--force", state)
    browser.get(f"{cloud.origin}/_local/")
    assert wait_for_element(browser, chosen).text == "auto"


@pytest.mark.writes
def test_a_held_mail_is_listed_with_its_reason(
    browser: webdriver.Chrome, cloud: RunningCloud, users: CloudUsers
) -> None:
    """While its circuit is held open by the button; once it is let go the mail leaves, and is listed no more."""
    listed = "#outbox .jobs li"
    browser.get(f"{cloud.origin}/_local/")
    try:
        submit(browser, "#circuits input[value=email] ~ .choice button[value=open]")
        member = users.register()

        def read_jobs() -> list[str]:
            browser.get(f"{cloud.origin}/_local/")
            return [each.text for each in browser.find_elements(By.CSS_SELECTOR, listed) if "circuit-open" in each.text]

        [job] = wait_until(read_jobs, "the mail that waits")
        assert "mail member-welcome · trace" in job
        assert "pending, circuit-open" in job
        sign_in(browser, cloud, "admin")
        click(browser, "#circuits a[href='/_local/jobs?state=pending']")
        listed_by_api = json.loads(browser.find_element(By.TAG_NAME, "pre").text)["items"]
        assert [(item["template"], item["reason"]) for item in listed_by_api] == [("member-welcome", "circuit-open")]
        browser.get(f"{cloud.origin}/_local/")
        submit(browser, "#circuits input[value=email] ~ .choice button[value=closed]")
        told = wait_for_element(browser, ".notice").text
        assert told == "The circuit is held closed. 1 waiting job leaves now. List the jobs that wait"
        assert wait_until(lambda: cloud.list_mails(member["email"]), "the mail", LEAVES_ON_A_BUSY_MACHINE_S)
        assert wait_until(lambda: not read_jobs(), "an outbox in which nothing waits")
    finally:
        for state in ("closed", "auto"):
            cloud.run_command("circuits", "--name", "email", "--force", state)


def test_every_local_page_is_accessible_at_a_desk_and_on_a_phone(
    browser: webdriver.Chrome, cloud: RunningCloud
) -> None:
    """A running cloud fills every part: each answers, nothing is cut off, and axe finds nothing."""
    cloud.make_client().get("/health/deep").raise_for_status()
    for width in (DESK, PHONE):
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": features})
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get(f"{cloud.origin}/_local/")
            keep_screenshot(browser, f"front-{width}-{scheme}")
            assert browser.find_elements(By.CSS_SELECTOR, ".problem") == []
            assert list_layout_faults(browser) == []
            assert list_axe_violations(browser) == []
            for page in ("mail", "dashboard", "docs"):
                browser.get(f"{cloud.origin}/_local/{page}")
                if page == "docs":  # whatever is opened on it: tests/local/test_docs_browser.py
                    wait_for_element(browser, ".opblock")
                    wait_for_element(browser, ".models button")
                assert (page, list_axe_violations(browser)) == (page, [])
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
