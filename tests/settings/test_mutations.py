"""The table of mutations covers everything that is deployed, and its suite can fail."""

from dataclasses import fields

import pytest

from shared.retry.backoff import Backoff
from shared.settings import Settings
from tests.mutations.model import (
    FILE,
    InvalidMutation,
    Mutation,
    SourceEdit,
    judge,
    list_failing,
    list_red_cases,
    read_table,
)
from tests.services import ROOT
from tests.settings.test_constants import CONTRACT
from tests.settings.test_defaults import CIRCUITS, LIMITS, PARAMETERS
from tests.settings.test_mails import PRIORITIES

TABLE = read_table(FILE.read_text(encoding="utf-8"))
SHARED_BY_CIRCUITS = {"successes_per_failure", "window_s", "refresh_s", "blind_s"}
TUNABLES = {
    *(f"parameter:{name}" for name in PARAMETERS),
    *(f"setting:{name}" for name in Settings.model_fields),
    *(f"limit:{name}" for name in LIMITS),
    *(f"circuit:{name}.{each}" for name in CIRCUITS for each in CIRCUITS[name].keys() - SHARED_BY_CIRCUITS),
    *(f"circuit:*.{each}" for each in SHARED_BY_CIRCUITS),
    *(f"retry:{field.name}" for field in fields(Backoff)),
    *(f"constant:{name}" for name in CONTRACT),
    *(f"mail:{name}" for name in PRIORITIES),
}
EDIT = SourceEdit("settings.py", "5", "500")
MUTATION = Mutation("m", EDIT, ("test_a", "test_b"))


def test_everything_that_is_deployed_has_a_mutation_or_is_free_for_a_reason() -> None:
    """A new thing belongs into mutations.toml: an edit and its test, or the reason why none would notice."""
    covered = {name for mutation in TABLE.mutations if not mutation.survives for name in mutation.covers}
    assert covered & set(TABLE.free) == set()
    assert covered | set(TABLE.free) == TUNABLES
    assert all(len(reason.split()) > 3 for reason in TABLE.free.values())


@pytest.mark.parametrize("mutation", TABLE.mutations, ids=lambda mutation: mutation.name)
def test_every_mutation_still_changes_something(mutation: Mutation) -> None:
    """Its text stands in the file, and its tests in theirs."""
    text = (ROOT / mutation.edit.file).read_text(encoding="utf-8")
    assert mutation.edit.apply_to(text) != text
    for name in mutation.red:
        path, _, test = name.partition("::")
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")


def test_the_suite_has_a_control_that_must_survive() -> None:
    """Were it seen, a red test would say nothing of what was changed."""
    assert [mutation.wanted for mutation in TABLE.mutations if mutation.survives] == ["survived"]


def test_a_mutation_is_red_where_a_case_of_each_test_fails() -> None:
    """A test with parameters is red in one of its cases."""
    assert judge(MUTATION, {"test_a": "failed", "test_b[1]": "passed", "test_b[2]": "failed"}) == ("red", "")


def test_a_mutation_survives_where_one_of_its_tests_stays_green() -> None:
    """Each test that it names must turn red."""
    assert judge(MUTATION, {"test_a": "failed", "test_b": "passed"}) == ("survived", "green: test_b")


@pytest.mark.parametrize(
    "outcomes",
    [
        {},
        {"test_a": "failed"},
        {"test_a": "failed", "test_b": "error"},
        {"test_a": "failed", "test_bc": "failed"},
    ],
)
def test_a_mutation_is_broken_where_a_test_has_no_result(outcomes: dict[str, str]) -> None:
    """A fixture that fails, a file that can't be imported: that is red for another reason."""
    assert judge(MUTATION, outcomes)[0] == "broken"


@pytest.mark.parametrize(
    ("edit", "text"), [(EDIT, "six"), (EDIT, "5 and 5"), (SourceEdit("a.py", "5", "5"), "5")]
)  # fmt: skip
def test_an_edit_that_changes_nothing_or_too_much_is_refused(edit: SourceEdit, text: str) -> None:
    """The file has changed: the mutation has to change with it."""
    with pytest.raises(InvalidMutation):
        edit.apply_to(text)


def test_what_is_not_green_unchanged_proves_nothing() -> None:
    """The same is true of a test that was skipped or not run."""
    assert list_failing(["a", "b", "c", "d"], {"a": "passed", "b[1]": "passed", "b[2]": "skipped", "c": "failed"}) == [
        "b", "c", "d",
    ]  # fmt: skip


def test_the_cases_that_were_red_are_those_of_the_named_tests() -> None:
    """Each is run again on the unchanged tree: by its own id, which the outcomes have."""
    outcomes = {"test_a[1]": "passed", "test_a[2]": "failed", "test_b": "error", "test_ab": "failed"}
    assert list_red_cases(MUTATION, outcomes) == ["test_a[2]"]


@pytest.mark.parametrize("rest", ["red=[]", 'read=["d"]'])
def test_an_entry_that_is_none_is_refused(rest: str) -> None:
    """It has no test, or a misspelt word."""
    with pytest.raises(InvalidMutation):
        read_table(f'[free]\n[[mutation]]\nname="m"\nfile="a"\nfind="b"\nreplace="c"\n{rest}\n')
