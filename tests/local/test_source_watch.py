"""What is saved while a local cloud runs: who is asked to take it, and what the terminal says."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.saved_files import SavedFiles
from local.source_watch import SourceWatch, note_files

Ends = dict[str, dict[str, Any]]
SERVED: Ends = {"ClaimsFunction": {"was_running": True, "failure": ""}}
SERVICE = "functions/claims/claims/service.py"


@dataclass
class WatchedCheckout:
    """A checkout of few files. The gateway of the test answers with `ends`, or fails with `error`."""

    root: Path
    ends: Ends = field(default_factory=lambda: SERVED)
    error: OSError | None = None
    asked: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in (SERVICE, "layers/shared/shared/ids.py", "template.yaml", "layers/shared/requirements.txt"):
            self.save(name, "before")
        (self.root / "migrations").mkdir()
        self.files = note_files(self.root)
        self.watch = SourceWatch(self.root, self.replace_code, self.said.append, self.files)

    def replace_code(self, code: list[Path]) -> Ends:
        """Note the files, as the gateway gets them."""
        self.asked.append([str(path.relative_to(self.root)) for path in code])
        if self.error:
            raise self.error
        return self.ends

    def save(self, name: str, text: str) -> Path:
        """Write a file of the checkout."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def look(self) -> None:
        """Look at the files once, and handle what has changed."""
        self.watch.handle(self.files.take_changes())


@pytest.fixture
def checkout(tmp_path: Path) -> WatchedCheckout:
    """Return the checkout, which nobody has changed yet."""
    return WatchedCheckout(tmp_path)


def test_saved_code_is_taken_and_the_terminal_says_by_whom(checkout: WatchedCheckout) -> None:
    """Once: the next look finds nothing."""
    checkout.save(SERVICE, "after")
    checkout.look()
    checkout.look()
    assert checkout.asked == [[SERVICE]]
    assert checkout.said == [f"{SERVICE} is served by ClaimsFunction"]


def test_bytecode_of_saved_code_is_removed_before_it_is_taken(checkout: WatchedCheckout) -> None:
    """Python compares a source's size and second only, so it would take an old compiled form for the new file's."""
    compiled = checkout.save("functions/claims/claims/__pycache__/service.cpython-313.pyc", "")
    other = checkout.save("functions/claims/claims/__pycache__/model.cpython-313.pyc", "")
    checkout.save(SERVICE, "after!")
    checkout.look()
    assert (compiled.exists(), other.exists()) == (False, True)


def test_code_that_does_not_start_is_said_with_its_reason(checkout: WatchedCheckout) -> None:
    """One reason of several functions is said once, with their names."""
    broken = {"was_running": True, "failure": "Runtime.UserCodeSyntaxError: line 3"}
    checkout.ends = {"MembersFunction": broken, "AgentsFunction": broken, **SERVED}
    checkout.save("layers/shared/shared/ids.py", "(")
    checkout.look()
    served, refused = checkout.said
    assert served == "layers/shared/shared/ids.py is served by ClaimsFunction"
    assert "does not start, calls get the code from before: AgentsFunction, MembersFunction\n" in refused
    assert refused.endswith("Runtime.UserCodeSyntaxError: line 3")


def test_a_changed_template_or_migration_is_said_with_how_to_take_it(checkout: WatchedCheckout) -> None:
    """The gateway is not asked: neither can be taken by replacing environments."""
    for name in ("template.yaml", "layers/shared/requirements.txt", "migrations/0099_notes.sql"):
        checkout.save(name, "after")
    checkout.look()
    assert checkout.asked == []
    assert checkout.said == [
        "layers/shared/requirements.txt has changed: Ctrl-C and make up deploy it; the state stays",
        "migrations/0099_notes.sql has changed: to apply it: make migrate",
        "template.yaml has changed: Ctrl-C and make up deploy it; the state stays",
    ]


def test_a_gateway_that_does_not_answer_is_said(checkout: WatchedCheckout) -> None:
    """The watch goes on."""
    checkout.error = ConnectionRefusedError("refused")
    checkout.save(SERVICE, "after")
    checkout.look()
    assert checkout.said == [f"{SERVICE} has changed, and the gateway did not take it: refused"]


def test_a_saved_file_that_no_function_reads_is_said(checkout: WatchedCheckout) -> None:
    """Otherwise somebody would wait for an effect that doesn't come."""
    checkout.ends = {}
    checkout.save("functions/build.mk", "new")
    checkout.look()
    assert checkout.said == ["functions/build.mk has changed; no function reads it"]


def test_added_and_removed_files_are_changes_and_drafts_of_editors_are_none(checkout: WatchedCheckout) -> None:
    """Bytecode is not either: each start of an environment may write it."""
    for name in (".service.py.swp", "service.py~", "#service.py#", "__pycache__/service.pyc", "4913.tmp"):
        checkout.save(f"functions/claims/claims/{name}", "draft")
    assert checkout.files.take_changes() == []
    added = checkout.save("functions/claims/claims/mails.toml", "")
    (checkout.root / SERVICE).unlink()
    assert checkout.files.take_changes() == sorted([added, checkout.root / SERVICE])


def test_a_file_that_another_of_its_size_and_time_replaces_has_changed(checkout: WatchedCheckout) -> None:
    """Editors write beside and rename."""
    path = checkout.root / SERVICE
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    draft = checkout.save("functions/draft~", "behind")
    os.utime(draft, ns=times)
    draft.rename(path)
    assert path.stat().st_mtime_ns == times[1]
    assert checkout.files.take_changes() == [path]


def test_a_file_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    """Half a file would not start."""
    path = tmp_path / "app.py"
    path.write_text("a")
    pieces = ["ab", "abc"]

    def write_next_piece(_seconds: float) -> None:
        if pieces:
            path.write_text(pieces.pop(0))

    files = SavedFiles([path], sleep=write_next_piece)
    path.write_text("")
    assert files.take_changes() == [path]
    assert (pieces, files.take_changes()) == ([], [])


def test_saves_are_found_while_code_is_being_taken(checkout: WatchedCheckout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first environment may take seconds to start; the second save must not wait for it."""
    both, slow = threading.Event(), threading.Event()

    def replace_slowly(code: list[Path]) -> Ends:
        checkout.asked.append([path.name for path in code])
        if len(checkout.asked) == 2:
            both.set()
        slow.wait(10)
        return SERVED

    monkeypatch.setattr("local.source_watch.LOOK_S", 0.01)
    watch = SourceWatch(checkout.root, replace_slowly, checkout.said.append, checkout.files)
    threading.Thread(target=watch.run, daemon=True).start()
    checkout.save(SERVICE, "first")
    while not checkout.asked:
        threading.Event().wait(0.01)
    checkout.save("layers/shared/shared/ids.py", "second")
    assert both.wait(10)
    slow.set()
    assert checkout.asked == [["service.py"], ["ids.py"]]
