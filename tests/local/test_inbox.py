"""The inbox: mail sent through boto3, read back, and shown in a real browser."""

import shutil
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser import wait_on_page
from tests.local.gateways import RunningGateway, make_stack, run_gateway, wait_until
from tests.services import EmulatorHandle, run_emulator

CREDENTIALS: dict[str, Any] = {
    "region_name": "eu-central-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
}
SENDER = "desk@example.test"
SWITCHES = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1200,800"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
HOSTILE = (
    '<h1 id="hello">Mirë se vini</h1><script>parent.document.title = "broken out"; document.title = "ran"</script>'
)


class MailSender:
    """Sends in the ways that the service could."""

    def __init__(self, url: str) -> None:
        self._ses = boto3.client("sesv2", endpoint_url=url, **CREDENTIALS)
        self._ses.create_email_identity(EmailIdentity=SENDER)

    def send_simple(self, to: str, subject: str, text: str, html: str) -> None:
        """Content.Simple."""
        body = {"Text": {"Data": text}, "Html": {"Data": html}}
        content: Any = {"Simple": {"Subject": {"Data": subject}, "Body": body}}
        self._ses.send_email(FromEmailAddress=SENDER, Destination={"ToAddresses": [to]}, Content=content)

    def send_raw(self, to: str, subject: str, text: str, html: str) -> None:
        """Content.Raw: a multipart MIME message with encoded words and bodies."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = SENDER, to, subject
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        content: Any = {"Raw": {"Data": message.as_bytes()}}
        self._ses.send_email(FromEmailAddress=SENDER, Destination={"ToAddresses": [to]}, Content=content)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorHandle]:
    """Yield an emulator whose inbox is ours alone."""
    with run_emulator(tmp_path_factory.mktemp("inbox")) as running:
        yield running


@pytest.fixture(scope="module")
def mail(emulator: EmulatorHandle) -> MailSender:
    """Return a sender."""
    return MailSender(emulator.url)


@pytest.fixture(scope="module")
def gateway(emulator: EmulatorHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Yield a gateway in front of that emulator."""
    with run_gateway(make_stack([], [], endpoint_url=emulator.url), tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Yield a headless Chromium."""
    if not shutil.which("chromedriver"):
        pytest.skip("no Chromium on this machine")
    options = webdriver.ChromeOptions()
    for switch in [*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(switch)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def test_the_json_lists_the_newest_mail_first_with_both_parts(gateway: RunningGateway, mail: MailSender) -> None:
    """Simple and raw mail alike, in four alphabets, parts decoded."""
    mail.send_simple("besa@example.test", "Mirë se vini", "përshëndetje", "<p>përshëndetje</p>")
    mail.send_raw("Петар <petar@example.test>", "Добредојдовте", "здраво", "<p>здраво</p>")
    newest, older = gateway.call("GET", "/_local/mail.json").read_json()[:2]
    assert (newest["to"], newest["subject"]) == (["petar@example.test"], "Добредојдовте")
    assert (newest["text"].strip(), newest["html"].strip()) == ("здраво", "<p>здраво</p>")
    assert (older["to"], older["subject"], older["text"]) == (["besa@example.test"], "Mirë se vini", "përshëndetje")
    assert newest["sent_at"] >= older["sent_at"]
    assert newest["sent_at"].endswith("Z")


def test_the_page_runs_no_script_of_a_mail_and_escapes_its_text(
    gateway: RunningGateway, mail: MailSender, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    """A real browser shows the HTML and does not run its script; subject and text are text."""
    mail.send_simple("besa@example.test", "<b>bold</b> & co", '</pre><img src=x onerror="document.title=1">', HOSTILE)
    browser.get(f"http://127.0.0.1:{gateway.port}/_local/mail")
    assert browser.find_element(By.TAG_NAME, "h2").text == "<b>bold</b> & co"
    assert "<img src=x" in browser.find_element(By.TAG_NAME, "pre").text
    assert browser.title.startswith("Inbox")
    sandbox = browser.find_element(By.TAG_NAME, "iframe").get_attribute("sandbox")
    assert sandbox == "allow-top-navigation-by-user-activation"  # nothing but a click; the policy forbids scripts too
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    assert browser.find_element(By.ID, "hello").text == "Mirë se vini"
    assert browser.find_element(By.TAG_NAME, "html").value_of_css_property("overflow-y") == "scroll"  # seen to scroll
    browser.switch_to.default_content()
    errors = [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]  # type: ignore[no-untyped-call]
    assert all("Blocked script execution" in e["message"] or "Content Security Policy" in e["message"] for e in errors)


def test_the_page_shows_new_mail_by_itself_and_opens_an_older_one(
    gateway: RunningGateway, mail: MailSender, browser: webdriver.Chrome
) -> None:
    """The reader need not reload; a click on a row shows that mail."""
    mail.send_simple("arta@example.test", "first", "the first text", "<p>1</p>")
    browser.get(f"http://127.0.0.1:{gateway.port}/_local/mail")
    mail.send_simple("arta@example.test", "second", "the second text", "<p>2</p>")
    wait_on_page(browser, lambda b: b.find_element(By.TAG_NAME, "h2").text == "second")
    browser.find_elements(By.CSS_SELECTOR, "nav a")[1].click()
    wait_on_page(browser, lambda b: b.find_element(By.TAG_NAME, "h2").text == "first")
    assert browser.find_element(By.TAG_NAME, "pre").text == "the first text"


def test_an_emulator_that_is_gone_is_said(tmp_path: Path) -> None:
    """503, not a traceback or an empty inbox."""
    with run_gateway(make_stack([], []), tmp_path) as gateway:
        reply = wait_until(lambda: gateway.call("GET", "/_local/mail.json"))
    assert (reply.status, reply.read_json()["message"]) == (503, "The emulator does not answer")
