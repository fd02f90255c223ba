"""The searches that the tests run, by machine, and the states that the reference page allows."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from tests.exhaustive.admission_machine import RELAY, KeyMachine, LimitMachine, use_few_retries
from tests.exhaustive.breaker_machine import CircuitMachine, use_stepped_client
from tests.exhaustive.job_machine import JobMachine, use_short_leases
from tests.exhaustive.search import Machine, Search

Name = Literal["breaker", "key", "kept-key", "stored-key", "limit", "job"]
_PAGE = Path(__file__).resolve().parents[2] / "docs/reference/state-machines.md"


def read_legal_transitions(heading: str) -> frozenset[tuple[str, str]]:
    """Return the transitions of the diagram under a heading of docs/reference/state-machines.md."""
    section = _PAGE.read_text(encoding="utf-8").partition(f"## {heading}")[2]
    diagram = section.partition("```mermaid")[2].partition("```")[0]
    return frozenset(re.findall(r"^ +(\w+) --> (\w+)", diagram, re.MULTILINE))


def make_machine(name: Name, *, most_faults: int | None = None) -> Machine:
    """Return a machine; `most_faults` bounds how often the circuits' table is late or loses an answer."""
    match name:
        case "breaker":
            return CircuitMachine(read_legal_transitions("Circuit"), most_faults=most_faults)
        case "key":
            return KeyMachine()
        case "kept-key":
            return KeyMachine(asks=("the call", RELAY))
        case "stored-key":
            return KeyMachine(stores_answer=True)
        case "limit":
            return LimitMachine()
        case "job":
            return JobMachine(read_legal_transitions("Job"))


def prepare(name: Name) -> AbstractContextManager[None]:
    """Return the context in which a machine is searched: short times, and waits that are steps."""
    prepared = {"breaker": use_stepped_client, "job": use_short_leases}
    return prepared.get(name, use_few_retries)()


@contextmanager
def open_search(name: Name, size: int, *, most_faults: int | None = None) -> Iterator[Search]:
    """Within the block the machine can be searched."""
    with prepare(name):
        yield Search(make_machine(name, most_faults=most_faults), size)
