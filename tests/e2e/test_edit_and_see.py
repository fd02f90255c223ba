"""Somebody edits a copy of the checkout while its local cloud runs, as `make up` starts it."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from stress.controls.checkout_copies import copy_checkout
from tests.e2e.cloud import ROOT, RunningCloud, run_cloud

PROMISED_S = 1.0
HEALTH = "functions/health/health/app.py"
HEADERS = "layers/shared/shared/api/responses.py"
CALLS_A_SECOND = 8  # below the throttle of /health


@dataclass(frozen=True)
class EditedCheckout:
    """A copy of the checkout, and its running cloud."""

    root: Path
    cloud: RunningCloud

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text of a file, and save it."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")

    def read_line(self) -> str:
        """Return the next line of the terminal, without its time."""
        assert self.cloud.process.stdout is not None
        return self.cloud.process.stdout.readline().partition(" ")[2].rstrip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditedCheckout]:
    """Yield the copy with its cloud."""
    folder = tmp_path_factory.mktemp("edited")
    copy_checkout(ROOT, folder / "checkout")
    with run_cloud(folder / "state", "--reload", root=folder / "checkout") as cloud:
        yield EditedCheckout(folder / "checkout", cloud)


@contextmanager
def call_without_pause(checkout: EditedCheckout) -> Iterator[list[int]]:
    """Call health during the block, and yield the list of statuses."""
    statuses: list[int] = []
    enough = threading.Event()

    def call_again_and_again() -> None:
        with checkout.cloud.make_client() as client:
            while not enough.wait(1 / CALLS_A_SECOND):
                statuses.append(client.get("/health").status_code)

    caller = threading.Thread(target=call_again_and_again)
    caller.start()
    try:
        yield statuses
    finally:
        enough.set()
        caller.join()


def test_a_call_one_second_after_a_save_gets_the_saved_code_and_no_call_is_lost(checkout: EditedCheckout) -> None:
    """A handler, three times, and then a file that all functions share."""
    with checkout.cloud.make_client() as client, call_without_pause(checkout) as statuses:
        assert client.get("/docs").status_code == 200
        for former, version in itertools.pairwise(("call.services.settings.version", "'one'", "'two'", "'six'")):
            checkout.edit(HEALTH, f"version = {former}", f"version = {version}")
            time.sleep(PROMISED_S)
            assert client.get("/health").json()["version"] == version.strip("'")
            assert checkout.read_line() == f"{HEALTH} is served by HealthFunction"
        checkout.edit(HEADERS, '"nosniff"', '"no-sniff"')
        time.sleep(PROMISED_S)
        assert client.get("/docs").headers["X-Content-Type-Options"] == "no-sniff"
        assert client.get("/health").headers["X-Content-Type-Options"] == "no-sniff"
    assert set(statuses) == {200}
    assert checkout.read_line().startswith(f"{HEADERS} is served by ")


def test_code_that_does_not_start_is_said_and_the_code_from_before_serves(checkout: EditedCheckout) -> None:
    """The reason and the line are printed; once mended, the code is served."""
    with checkout.cloud.make_client() as client:
        checkout.edit(HEALTH, "\napi: Api", "\napi Api")
        assert checkout.read_line() == f"{HEALTH} does not start, calls get the code from before: HealthFunction"
        assert (
            checkout.read_line().strip().startswith("Runtime.UserCodeSyntaxError: Syntax error in module 'health.app'")
        )
        assert client.get("/health").status_code == 200
        checkout.edit(HEALTH, "\napi Api", "\napi: Api")
        assert checkout.read_line() == f"{HEALTH} is served by HealthFunction"


def test_a_changed_template_or_migration_is_said_with_how_to_take_it(checkout: EditedCheckout) -> None:
    """The way that is said for a migration works."""
    checkout.edit("template.yaml", "one stack per country", "one for each country")
    assert checkout.read_line() == "template.yaml has changed: Ctrl-C and make up deploy it; the state stays"
    (checkout.root / "migrations/9999_notes.sql").write_text("CREATE TABLE notes (id uuid PRIMARY KEY);\n")
    assert checkout.read_line() == "migrations/9999_notes.sql has changed: to apply it: make migrate"
    assert "9999_notes" in checkout.cloud.run_command("migrate", root=checkout.root).stdout
    assert checkout.cloud.query_rows("SELECT * FROM notes") == []
