"""A negative control: one way to break the system, the scenario that must see it, and whether it did.

A check that has never been red proves little. Each control breaks one thing, and only a scenario that turns red for it,
for the reason that was expected, shows that its green means something.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).with_name("controls.toml")
PATCHES = Path(__file__).with_name("patches")

Outcome = Literal["red", "green", "wrong reason", "no result"]
Red = Literal["FAIL", "INVALID"]

GENERATOR, SAMPLES = "the load generator was late", "samples are missing"


class NotAControl(Exception):
    """A control that is not written down properly, or does not break what it says; the message says why."""


@dataclass(frozen=True)
class Control:
    """One way to break the system: by a patch of the code, by SQL as the database's owner, by an option of the harness.

    `patch` is the text of a unified diff with paths from the checkout's root, as `git diff` writes it. `verdict` are
    the statuses that are right; `expect`, if any, is part of the name of the check or difference that must be among the
    reasons.
    """

    name: str
    why: str
    scenario: str
    patch: str = ""
    sql: str = ""
    option: str = ""
    verdict: tuple[Red, ...] = ("FAIL", "INVALID")
    expect: str = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.patch, self.sql, self.option))) != 1:
            raise NotAControl(f"{self.name}: it breaks by a patch, or by sql, or by an option")


@dataclass(frozen=True)
class Reason:
    """Why a scenario is red: a failed check, a kind of difference, a late generator, missing samples."""

    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} ({self.detail})"


@dataclass(frozen=True)
class Verdict:
    """The result of a control. Only "red" is as it must be; `reasons` are all, the expected first."""

    outcome: Outcome
    status: str
    reasons: tuple[Reason, ...] = ()
    said: str = ""

    @property
    def proven(self) -> bool:
        """Whether the scenario saw what was broken."""
        return self.outcome == "red"


def read_controls(text: str, patches: Path = PATCHES) -> tuple[Control, ...]:
    """Return the controls of a TOML document, whose patches are files of a folder. Raise NotAControl."""
    controls = tuple(_control(table, patches) for table in tomllib.loads(text)["control"])
    twice = [name for name, count in Counter(control.name for control in controls).items() if count > 1]
    if twice:
        raise NotAControl(f"these names stand twice: {', '.join(twice)}")
    return controls


def _control(table: Mapping[str, Any], patches: Path) -> Control:
    if unknown := sorted(set(table) - {field.name for field in fields(Control)}):
        raise NotAControl(f"{table.get('name')}: nothing of a control: {', '.join(unknown)}")
    values = dict(table)
    if "verdict" in values:
        values["verdict"] = (values["verdict"],)
    try:
        if "patch" in values:
            values["patch"] = (patches / values["patch"]).read_text(encoding="utf-8")
        return Control(**values)
    except (OSError, TypeError) as error:
        raise NotAControl(f"{table.get('name')}: {error}") from None


def judge(control: Control, report: Mapping[str, Any] | None) -> Verdict:
    """Hold the report of a run on the broken system against what the control expects."""
    result = result_of(report, control.scenario)
    if result is None or result["status"] not in ("PASS", "FAIL", "INVALID"):
        return _no_result(control.scenario, result)
    status, reasons = str(result["status"]), tuple(reasons_of(result))
    if status == "PASS":
        return Verdict("green", status, said="the scenario did not see that the system is broken")
    expected = [reason for reason in reasons if control.expect.casefold() in reason.name.casefold()]
    ranked = tuple(expected + [reason for reason in reasons if reason not in expected])
    if status not in control.verdict:
        return Verdict("wrong reason", status, ranked, f"the verdict must be {' or '.join(control.verdict)}")
    if not expected:
        missed = f'no reason speaks of "{control.expect}"' if reasons else "no reason is given"
        return Verdict("wrong reason", status, ranked, missed)
    return Verdict("red", status, ranked)


def judge_unbroken(scenarios: Iterable[str], report: Mapping[str, Any] | None) -> dict[str, Verdict]:
    """The scenarios' verdicts on the unbroken system; the control proves nothing whose scenario is not "green"."""
    return {scenario: _unbroken(scenario, result_of(report, scenario)) for scenario in scenarios}


def _unbroken(scenario: str, result: Mapping[str, Any] | None) -> Verdict:
    if result is None or result["status"] not in ("PASS", "FAIL", "INVALID"):
        return _no_result(scenario, result)
    outcome: Outcome = "green" if result["status"] == "PASS" else "red"
    return Verdict(outcome, str(result["status"]), tuple(reasons_of(result)))


def _no_result(scenario: str, result: Mapping[str, Any] | None) -> Verdict:
    return Verdict("no result", str(result["status"]) if result else "", said=f"no result of the scenario {scenario}")


def result_of(report: Mapping[str, Any] | None, scenario: str) -> Mapping[str, Any] | None:
    """The result of a scenario; None where the report has none."""
    results: Iterable[Mapping[str, Any]] = (report or {}).get("results", ())
    return next((result for result in results if result["key"] == scenario), None)


def reasons_of(result: Mapping[str, Any]) -> Iterator[Reason]:
    """Everything in a result that keeps it from being PASS."""
    for check in result["checks"]:
        if not check["passed"]:
            yield Reason(check["name"], f"wanted {check['wanted']}, found {check['found']}")
    differences = result["reconciliation"]["differences"]
    for what, count in Counter(difference["what"] for difference in differences).items():
        first = next(difference for difference in differences if difference["what"] == what)
        yield Reason(what, f"{count} times, at first told {first['told']}, found {first['found']}")
    lag = result["lag"]
    if lag and lag["p99"] > lag["bar"]:
        yield Reason(GENERATOR, f"p99 {lag['p99']:.0f} ms, bar {lag['bar']:.0f} ms")
    if result["samples"] < result["samples_wanted"]:
        yield Reason(SAMPLES, f"{result['samples']} of {result['samples_wanted']}")


def as_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict, for controls.json."""
    return asdict(verdict)
