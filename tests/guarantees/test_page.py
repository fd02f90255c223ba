"""The page of guarantees is up to date, and every measured figure meets its limit. Run after all other tests."""

import os
import shutil
from pathlib import Path

import pytest

from stress.controls.model import FILE as CONTROLS
from stress.controls.model import read_controls
from tests import measurements
from tests.guarantees.page import (
    PAGE,
    PROMISES,
    ROOT,
    Proof,
    choose_last_runs,
    list_tests,
    read_figures,
    read_guarantees,
    read_measured,
    read_published,
    render,
)
from tests.mutations.model import FILE as MUTATIONS
from tests.mutations.model import read_table

PROMISED = read_guarantees(PROMISES.read_text(encoding="utf-8"))
EVIDENCE = [pytest.param(each, id=each.figure) for promise in PROMISED for each in promise.evidence]
SHORT = [pytest.param(each, id=each.figure) for promise in PROMISED for each in promise.evidence if not each.long]
MOST_UNBROKEN = 7  # promises that nothing breaks on purpose yet: lower it with each that gets a break


def test_the_page_shows_the_promises_and_the_published_figures() -> None:
    """The page is written by `make guarantees`, never by hand."""
    assert PAGE.read_text(encoding="utf-8") == render(PROMISED, read_published())


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_a_promise_names_an_existing_test(evidence: Proof) -> None:
    """A promise whose test was renamed or deleted is not tested."""
    path, _, name = evidence.test.partition("::")
    assert name in list_tests(ROOT / path)


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_every_published_figure_meets_its_limit(evidence: Proof) -> None:
    """Each figure has to, where a test records one for each of its cases."""
    figures = read_published()[evidence.figure]
    assert figures != []
    assert [figure for figure in figures if not evidence.is_met(figure)] == []


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_every_figure_of_the_last_run_meets_its_limit(evidence: Proof) -> None:
    """The page may be older than the code; each run of a test is held to the limit, on each Python."""
    assert [
        figure for figure in read_figures(read_measured()).get(evidence.figure, []) if not evidence.is_met(figure)
    ] == []


@pytest.mark.skipif("MEASURED" not in os.environ, reason="only after all other tests, as `make test` runs it")
@pytest.mark.parametrize("evidence", SHORT)
def test_every_promise_was_measured_in_this_run(evidence: Proof) -> None:
    """A test that no longer records its figure proves nothing."""
    if evidence.needs and shutil.which(evidence.needs) is None:
        pytest.skip(f"its test needs {evidence.needs}, which this machine does not have")
    assert read_figures(read_measured()).get(evidence.figure, []) != []


def test_of_two_runs_of_a_test_the_last_one_is_published() -> None:
    """All cases of that run, and what other tests measured under the same name; the sum of two runs is no figure."""
    lines: list[dict[str, object]] = [
        {"name": "faults", "test": "tests/a.py::test_a", "run": "1", "faults": 39},
        {"name": "faults", "test": "tests/b.py::test_b", "run": "1", "faults": 5},
        {"name": "faults", "test": "tests/a.py::test_a", "run": "2", "faults": 38},
        {"name": "faults", "test": "tests/a.py::test_a", "run": "2", "faults": 37},
    ]
    assert read_figures(choose_last_runs(lines)) == {"faults": [{"faults": 5}, {"faults": 38}, {"faults": 37}]}


def test_what_a_promise_names_as_its_break_is_there() -> None:
    """A control or mutation that was renamed would leave the promise without one; and no promise loses its last."""
    names = {
        "control": {control.name for control in read_controls(CONTROLS.read_text(encoding="utf-8"))},
        "mutation": {each.name for each in read_table(MUTATIONS.read_text(encoding="utf-8")).mutations},
    }
    for kind, _, name in (each.partition(":") for promise in PROMISED for each in promise.broken_by):
        if kind == "test":
            path, _, function = name.partition("::")
            assert function in list_tests(ROOT / path)
        else:
            assert name in names[kind], name
    assert sum(not promise.broken_by for promise in PROMISED) <= MOST_UNBROKEN


def test_a_figure_is_kept_with_the_commit_at_which_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows it, and says of a figure without one that it was not kept."""
    monkeypatch.setattr(measurements, "FILE", tmp_path / "figures.jsonl")
    monkeypatch.delenv("DB_PIPELINE", raising=False)
    measurements.record("outage", calls=1, requests=1)
    figures = read_figures(read_measured(measurements.FILE))
    assert figures["outage"] == [{"commit": measurements.describe_commit(), "calls": 1, "requests": 1}]
    outage = [each for each in PROMISED if each.evidence[0].figure == "outage"]
    assert f"| `{measurements.describe_commit()}` |" in render(outage, figures)
    assert "| not kept |" in render(outage, {"outage": [{"calls": 1, "requests": 1}]})
