"""A mutation: a small edit of what is deployed, and the tests that must turn red for it."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).with_name("mutations.toml")

Outcome = Literal["red", "survived", "broken"]


class InvalidMutation(Exception):
    """An entry of the table that is not written down properly, or whose text is not there; the message says why."""


@dataclass(frozen=True)
class SourceEdit:
    """A change of one file: the text stands in it exactly once, or at least once where `every` of them is changed."""

    file: str
    find: str
    replace: str
    every: bool = False

    def apply_to(self, text: str) -> str:
        """Return the file's text, changed. Raises InvalidMutation where the text to be replaced is not there."""
        times = text.count(self.find)
        if times == 0 or (times > 1 and not self.every):
            raise InvalidMutation(f"{self.file}: the text to be replaced stands there {times} times")
        if self.find == self.replace:
            raise InvalidMutation(f"{self.file}: nothing is changed")
        return text.replace(self.find, self.replace)


@dataclass(frozen=True)
class Mutation:
    """An edit, each of the tests that must turn red, and what of the table it stands for.

    One that `survives` changes nothing that a test looks at: the control of the suite itself.
    """

    name: str
    edit: SourceEdit
    red: tuple[str, ...]
    covers: tuple[str, ...] = ()
    survives: bool = False

    @property
    def wanted(self) -> Outcome:
        """The outcome that is as it must be."""
        return "survived" if self.survives else "red"


@dataclass(frozen=True)
class MutationTable:
    """The mutations, and why the value of something that has none is free."""

    mutations: tuple[Mutation, ...]
    free: Mapping[str, str]


def read_table(text: str) -> MutationTable:
    """Return the table of a TOML document. Raises InvalidMutation."""
    document = tomllib.loads(text)
    mutations = tuple(_read_mutation(entry) for entry in document["mutation"])
    if twice := [name for name, count in Counter(each.name for each in mutations).items() if count > 1]:
        raise InvalidMutation(f"duplicate names: {', '.join(twice)}")
    return MutationTable(mutations, document["free"])


def _read_mutation(entry: Mapping[str, Any]) -> Mutation:
    of_edit = {field.name for field in fields(SourceEdit)}
    rest: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    try:
        of_the_edit: dict[str, Any] = {key: rest.pop(key) for key in of_edit & set(rest)}
        edit = SourceEdit(**of_the_edit)
        mutation = Mutation(edit=edit, **rest)
    except TypeError as error:
        raise InvalidMutation(f"{entry.get('name')}: {error}") from None
    if not mutation.red:
        raise InvalidMutation(f"{mutation.name}: it names no test")
    return mutation


def judge(mutation: Mutation, outcomes: Mapping[str, str]) -> tuple[Outcome, str]:
    """Return what a run of the named tests says, and what has to be known about it.

    `outcomes` are the results by test id. A test is red where one of its cases failed by itself; one that was not run
    says nothing.
    """
    cases = {
        name: [result for case, result in outcomes.items() if name in (case, drop_case(case))] for name in mutation.red
    }
    if unknown := [name for name, results in cases.items() if not results]:
        return "broken", f"not run: {', '.join(unknown)}"
    if green := [name for name, results in cases.items() if "failed" not in results]:
        if all("passed" in cases[name] for name in green):
            return "survived", f"green: {', '.join(green)}"
        return "broken", f"no result: {', '.join(green)}"
    return "red", ""


def list_red_cases(mutation: Mutation, outcomes: Mapping[str, str]) -> list[str]:
    """Return the cases of the named tests that failed by themselves."""
    return [
        case
        for case, result in outcomes.items()
        if result == "failed" and not {case, drop_case(case)}.isdisjoint(mutation.red)
    ]


def drop_case(test: str) -> str:
    """Return a test's id without the case that it may name."""
    return test.partition("[")[0]


def list_failing(names: Iterable[str], outcomes: Mapping[str, str]) -> list[str]:
    """Return the tests that are not green where nothing is changed: their red would prove nothing."""
    results = {name: {result for case, result in outcomes.items() if name in (case, drop_case(case))} for name in names}
    return sorted(name for name, found in results.items() if found != {"passed"})
