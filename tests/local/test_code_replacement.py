"""Saved code is served by the next call, by real environments behind a real gateway; no call is lost."""

import concurrent.futures
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.source_watch import remove_bytecode
from tests.local.gateways import RunningGateway, make_function, make_route, make_stack, run_gateway, wait_until

HANDLER = """
import json, time
from words import WORD
def handler(event, context):
    time.sleep(float(event.get("seconds", 0)))
    return {"statusCode": 200, "body": WORD}
"""


@dataclass
class EditedFunction:
    """A function whose code a test edits, and another one; both read a package that their layer links to."""

    gateway: RunningGateway
    code: Path
    shared: Path

    def save(self, name: str, text: str) -> None:
        """Write one of the function's files, as `make up` finds it: without its bytecode."""
        (self.code / name).write_text(text)
        remove_bytecode([self.code / name])

    def say_saved(self, *files: Path) -> Any:
        """Tell the gateway that the files were saved; return how the replacement ended, by function."""
        body = json.dumps({"files": [str(file) for file in files]}).encode()
        reply = self.gateway.call("POST", "/_local/code", body=body)
        assert reply.status == 200, reply.body
        return reply.read_json()

    def call(self, name: str = "edited", **event: object) -> Any:
        """Return what the function answers."""
        return self.gateway.invoke(name, event).read_json()

    def read_word(self) -> str:
        """Return the word of the code that answers."""
        return str(self.call()["body"])

    def list_pids(self) -> list[int]:
        """Return the pids of the function's environments."""
        return [each["pid"] for each in self.gateway.read_status("edited")["environments"]]


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[EditedFunction]:
    """Yield the function, which nobody has called; it says `one`."""
    code, package, layer = tmp_path / "edited", tmp_path / "checkout/package", tmp_path / "layer"
    for folder in (code, package, layer / "python"):
        folder.mkdir(parents=True)
    (layer / "python/package").symlink_to(package)
    (package / "__init__.py").write_text("SUFFIX = ''\n")
    (code / "app.py").write_text(HANDLER)
    (code / "words.py").write_text("from package import SUFFIX\nWORD = 'one' + SUFFIX\n")
    shape = {"layer_dirs": [str(layer)], "timeout_s": 30}
    own = make_function("edited", handler="app.handler", code_dir=str(code), reserved_concurrency=2, **shape)
    functions = [own, make_function("noop", **shape), make_function("echo")]
    with run_gateway(make_stack(functions, [make_route("GET", "/edited", "edited")]), tmp_path) as gateway:
        yield EditedFunction(gateway, code, package)


def test_the_next_call_is_answered_by_the_saved_code(edited: EditedFunction) -> None:
    """Also where the file has its former size within the same second, which bytecode can't tell apart."""
    assert edited.read_word() == "one"
    [before] = edited.list_pids()
    for word in ("two", "six", "ten"):
        edited.save("words.py", f"WORD = '{word}'\n")
        assert edited.say_saved(edited.code / "words.py") == {"edited": {"was_running": True, "failure": ""}}
        assert edited.read_word() == word
    wait_until(lambda: len(edited.list_pids()) == 1)
    assert before not in edited.list_pids()


def test_only_functions_that_read_the_file_are_replaced(edited: EditedFunction) -> None:
    """A file of the layer's link is read by all that have the layer; one that nobody reads changes nothing."""
    for name in ("edited", "noop", "echo"):
        edited.call(name)
    (edited.shared / "__init__.py").write_text("SUFFIX = ' more'\n")
    assert set(edited.say_saved(edited.shared / "__init__.py")) == {"edited", "noop"}
    assert edited.read_word() == "one more"
    assert edited.say_saved(edited.code.parent / "elsewhere.py") == {}
    assert edited.gateway.read_status("echo")["environments"][0]["invocations"] == 1


def test_a_call_under_way_ends_with_the_code_it_began_with(edited: EditedFunction) -> None:
    """Its environment ends after it, and a call that comes meanwhile gets the saved code."""
    edited.call()
    [before] = edited.list_pids()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(edited.call, seconds=2)
        wait_until(lambda: edited.gateway.read_status("edited")["in_flight"] == 1)
        edited.save("words.py", "WORD = 'another'\n")
        edited.say_saved(edited.code / "words.py")
        assert edited.read_word() == "another"
        assert not slow.done()
        assert slow.result()["body"] == "one"
    wait_until(lambda: before not in edited.list_pids())


def test_code_that_does_not_start_costs_no_call(edited: EditedFunction) -> None:
    """The environments from before serve on, and no other starts, until the code is mended."""
    edited.call()
    edited.save("words.py", "WORD = \n")
    assert "Syntax error" in edited.say_saved(edited.code / "words.py")["edited"]["failure"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert {answer["body"] for answer in pool.map(lambda _: edited.call(seconds=0.3), range(2))} == {"one"}
    edited.save("words.py", "WORD = 'mended'\n")
    assert edited.say_saved(edited.code / "words.py")["edited"]["failure"] == ""
    assert edited.read_word() == "mended"


def test_no_call_is_lost_while_files_are_saved(edited: EditedFunction) -> None:
    """Two callers without a pause, six saved files, one of them broken: every answer is of some version that ran."""
    answers = [edited.read_word()]
    enough = threading.Event()

    def call_again_and_again() -> None:
        while not enough.is_set():
            answers.append(str(edited.gateway.call("GET", "/api/edited").body, "utf-8"))

    callers = [threading.Thread(target=call_again_and_again) for _ in range(2)]
    for caller in callers:
        caller.start()
    for number in range(6):
        edited.save("words.py", "WORD = \n" if number == 3 else f"WORD = 'number {number}'\n")
        edited.say_saved(edited.code / "words.py")
        time.sleep(0.2)
    enough.set()
    for caller in callers:
        caller.join()
    assert set(answers) == {"one", *(f"number {number}" for number in (0, 1, 2, 4, 5))}
    assert answers[-1] == "number 5"


def test_a_function_that_nobody_called_reads_its_code_at_its_first_call(edited: EditedFunction) -> None:
    """Nothing is started for it."""
    edited.save("words.py", "WORD = 'first'\n")
    assert edited.say_saved(edited.code / "words.py") == {"edited": {"was_running": False, "failure": ""}}
    assert edited.list_pids() == []
    assert edited.read_word() == "first"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"files": 1}'])
def test_a_request_that_names_no_files_is_refused(edited: EditedFunction, body: bytes) -> None:
    """It changes nothing."""
    assert edited.gateway.call("POST", "/_local/code", body=body).status == 400
