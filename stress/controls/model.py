"""A negative control: one way to break the system, the scenario that must detect it, and whether it did.

A check that has never been red proves little. Each control breaks one thing. Only a scenario that turns red for it, for
the expected reason, shows that its green means something.
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


class InvalidControl(Exception):
    """A control is not written properly, or does not change what it names; the message says why."""


@dataclass(frozen=True)
class NegativeControl:
    """One way to break the system: by edits, by SQL as the database's owner, or by an option of the harness.

    `verdict` are the statuses that are right; `expect`, if any, is part of the name of the check or difference that
    must be among the reasons.
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
        """Raise InvalidControl unless it breaks the system in exactly one way."""
        if sum(map(bool, (self.patch, self.sql, self.option))) != 1:
            raise InvalidControl(f"{self.name}: it breaks by a patch, or by sql, or by an option")


@dataclass(frozen=True)
class Reason:
    """Why a scenario is red: a failed check, a kind of difference, a late generator, missing samples."""

    name: str
    detail: str

    def __str__(self) -> str:
        """Return the name with the detail."""
        return f"{self.name} ({self.detail})"


@dataclass(frozen=True)
class ControlVerdict:
    """The result of a control. Only "red" is as it must be; `reasons` are all, the expected first."""

    outcome: Outcome
    status: str
    reasons: tuple[Reason, ...] = ()
    said: str = ""

    @property
    def is_proven(self) -> bool:
        """Return whether the scenario detected what was broken."""
        return self.outcome == "red"


def read_controls(text: str, patches: Path = PATCHES) -> tuple[NegativeControl, ...]:
    """Return the controls of a TOML document. Raise InvalidControl."""
    controls = tuple(_read_control(table, patches) for table in tomllib.loads(text)["control"])
    twice = [name for name, count in Counter(control.name for control in controls).items() if count > 1]
    if twice:
        raise InvalidControl(f"these names stand twice: {', '.join(twice)}")
    return controls


def _read_control(table: Mapping[str, Any], patches: Path) -> NegativeControl:
    if unknown := sorted(set(table) - {field.name for field in fields(NegativeControl)}):
        raise InvalidControl(f"{table.get('name')}: nothing of a control: {', '.join(unknown)}")
    values = dict(table)
    if "verdict" in values:
        values["verdict"] = (values["verdict"],)
    try:
        if "patch" in values:
            values["patch"] = (patches / values["patch"]).read_text(encoding="utf-8")
        return NegativeControl(**values)
    except (OSError, TypeError) as error:
        raise InvalidControl(f"{table.get('name')}: {error}") from None


def judge(control: NegativeControl, report: Mapping[str, Any] | None) -> ControlVerdict:
    """Return the verdict on a control, from the report of the run on the broken system."""
    result = find_result(report, control.scenario)
    if result is None or result["status"] not in ("PASS", "FAIL", "INVALID"):
        return _judge_missing_result(control.scenario, result)
    status, reasons = str(result["status"]), tuple(list_reasons(result))
    if status == "PASS":
        return ControlVerdict("green", status, said="the scenario did not see that the system is broken")
    expected = [reason for reason in reasons if control.expect.casefold() in reason.name.casefold()]
    ranked = tuple(expected + [reason for reason in reasons if reason not in expected])
    if status not in control.verdict:
        return ControlVerdict("wrong reason", status, ranked, f"the verdict must be {' or '.join(control.verdict)}")
    if not expected:
        missed = f'no reason speaks of "{control.expect}"' if reasons else "no reason is given"
        return ControlVerdict("wrong reason", status, ranked, missed)
    return ControlVerdict("red", status, ranked)


def judge_unbroken(scenarios: Iterable[str], report: Mapping[str, Any] | None) -> dict[str, ControlVerdict]:
    """Return the scenarios' verdicts on the unbroken system; unless it is "green", its controls prove nothing."""
    return {scenario: _judge_one_unbroken(scenario, find_result(report, scenario)) for scenario in scenarios}


def _judge_one_unbroken(scenario: str, result: Mapping[str, Any] | None) -> ControlVerdict:
    if result is None or result["status"] not in ("PASS", "FAIL", "INVALID"):
        return _judge_missing_result(scenario, result)
    outcome: Outcome = "green" if result["status"] == "PASS" else "red"
    return ControlVerdict(outcome, str(result["status"]), tuple(list_reasons(result)))


def _judge_missing_result(scenario: str, result: Mapping[str, Any] | None) -> ControlVerdict:
    return ControlVerdict(
        "no result", str(result["status"]) if result else "", said=f"no result of the scenario {scenario}"
    )


def find_result(report: Mapping[str, Any] | None, scenario: str) -> Mapping[str, Any] | None:
    """Return the result of a scenario; None where the report has none."""
    results: Iterable[Mapping[str, Any]] = (report or {}).get("results", ())
    return next((result for result in results if result["key"] == scenario), None)


def list_reasons(result: Mapping[str, Any]) -> Iterator[Reason]:
    """Yield everything in a result that keeps it from being PASS."""
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


def to_record(verdict: ControlVerdict) -> dict[str, Any]:
    """Return a verdict, for controls.json."""
    return asdict(verdict)
