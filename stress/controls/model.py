"""Negative controls: ways to break the system, each with the scenario that must detect it, and their verdicts.

A check that has never failed proves little. Each control breaks one thing, and the scenario has to turn red for the
expected reason: only then does it mean something that the scenario is green on the unbroken system.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).with_name("controls.toml")
PATCHES = Path(__file__).with_name("patches")

# "red": the scenario failed for the expected reason, or on the unbroken system for any; "green": it passed; "wrong
# reason": it failed for another reason; "no result": it did not run to its end.
Outcome = Literal["red", "green", "wrong reason", "no result"]
Red = Literal["FAIL", "INVALID"]

# Names of reasons for which a result is INVALID: the measurement itself can't be trusted.
GENERATOR_LATE, SAMPLES_MISSING = "the load generator was late", "samples are missing"
UNDECIDED = "too few samples to decide"  # not the check's name: an undecided check has detected nothing


class InvalidControl(Exception):
    """A control is not written properly, or its patch does not apply to the code; the message says why."""


@dataclass(frozen=True)
class NegativeControl:
    """One way to break the system: by a patch, by SQL run as the database's owner, or by an option of the harness.

    `patch` is the patch's text; in controls.toml it is the name of its file. `expected_status`, if any, is the only
    status of the scenario that counts as detection. `expect`, if any, is part of the name of the check or difference
    that must be among the reasons.
    """

    name: str
    why: str
    scenario: str
    patch: str = ""
    sql: str = ""
    option: str = ""
    expected_status: Red | None = None
    expect: str = ""

    def __post_init__(self) -> None:
        """Raise InvalidControl unless the control breaks the system in exactly one way."""
        if [bool(self.patch), bool(self.sql), bool(self.option)].count(True) != 1:
            raise InvalidControl(f"{self.name}: set exactly one of patch, sql and option")

    @property
    def breaks_harness(self) -> bool:
        """Return whether it breaks the harness, not the service."""
        return any(line.startswith(("+++ b/stress/", "+++ b/judge/")) for line in self.patch.splitlines())


@dataclass(frozen=True)
class Reason:
    """Why a scenario is red: a failed check, a kind of difference, a late generator, missing samples.

    A difference is one between the answers that the clients got and what the system holds (stress.reconciliation).
    """

    name: str
    detail: str

    def __str__(self) -> str:
        """Return the name with the detail."""
        return f"{self.name} ({self.detail})"


@dataclass(frozen=True)
class ControlVerdict:
    """The result of a control, or of a scenario on the unbroken system.

    A control must be "red", the unbroken system "green". `status` is the scenario's. `reasons` are all reasons, the
    expected ones first. `explanation` says why a control is not "red", or why there is no result; of a red unbroken
    system only the `reasons` say why.
    """

    outcome: Outcome
    status: str
    reasons: tuple[Reason, ...] = ()
    explanation: str = ""


def read_controls(text: str, patches: Path = PATCHES) -> tuple[NegativeControl, ...]:
    """Return the controls of a TOML document.

    Raise InvalidControl; TOMLDecodeError if the text is not TOML, KeyError if it has no control.
    """
    controls = tuple(_read_control(table, patches) for table in tomllib.loads(text)["control"])
    duplicates = [name for name, count in Counter(control.name for control in controls).items() if count > 1]
    if duplicates:
        raise InvalidControl(f"duplicate names: {', '.join(duplicates)}")
    return controls


def _read_control(table: Mapping[str, Any], patches: Path) -> NegativeControl:
    if unknown := sorted(set(table) - {field.name for field in fields(NegativeControl)}):
        raise InvalidControl(f"{table.get('name')}: unknown keys: {', '.join(unknown)}")
    values = dict(table)
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
        return ControlVerdict("green", status, explanation="the scenario did not see that the system is broken")
    expected = [reason for reason in reasons if control.expect.casefold() in reason.name.casefold()]
    ranked = tuple(expected + [reason for reason in reasons if reason not in expected])
    if control.expected_status not in (None, status):
        return ControlVerdict("wrong reason", status, ranked, f"the status must be {control.expected_status}")
    if not expected:
        missed = f'no reason contains "{control.expect}"' if reasons else "no reason is given"
        return ControlVerdict("wrong reason", status, ranked, missed)
    return ControlVerdict("red", status, ranked)


def judge_unbroken(scenarios: Iterable[str], report: Mapping[str, Any] | None) -> dict[str, ControlVerdict]:
    """Return each scenario's verdict on the unbroken system.

    If a scenario is not "green" there, its controls prove nothing.
    """
    return {scenario: _judge_one_unbroken(scenario, find_result(report, scenario)) for scenario in scenarios}


def _judge_one_unbroken(scenario: str, result: Mapping[str, Any] | None) -> ControlVerdict:
    if result is None or result["status"] not in ("PASS", "FAIL", "INVALID"):
        return _judge_missing_result(scenario, result)
    outcome: Outcome = "green" if result["status"] == "PASS" else "red"
    return ControlVerdict(outcome, str(result["status"]), tuple(list_reasons(result)))


def _judge_missing_result(scenario: str, result: Mapping[str, Any] | None) -> ControlVerdict:
    return ControlVerdict(
        "no result", str(result["status"]) if result else "", explanation=f"no result of the scenario {scenario}"
    )


def find_result(report: Mapping[str, Any] | None, scenario: str) -> Mapping[str, Any] | None:
    """Return the result of a scenario; None if the report has none."""
    results: Iterable[Mapping[str, Any]] = (report or {}).get("results", ())
    return next((result for result in results if result["key"] == scenario), None)


def list_reasons(result: Mapping[str, Any]) -> Iterator[Reason]:
    """Yield the reasons for which a result is not PASS.

    Yield none for a result that is INVALID because nothing was checked or compared. A kind of difference is counted
    among the listed ones; a report lists only the first.
    """
    for check in result["checks"]:
        if check.get("undecided"):
            yield Reason(UNDECIDED, f"{check['name']}: wanted {check['wanted']}, found {check['found']}")
        elif not check["passed"]:
            yield Reason(check["name"], f"wanted {check['wanted']}, found {check['found']}")
    differences = result["reconciliation"]["differences"]
    for what, count in Counter(difference["what"] for difference in differences).items():
        first = next(difference for difference in differences if difference["what"] == what)
        yield Reason(what, f"{count} times, first: expected {first['answered']}, found {first['found']}")
    lag = result["lag"]
    if lag and lag["p99"] > lag["bar"]:
        yield Reason(GENERATOR_LATE, f"p99 {lag['p99']:.0f} ms, limit {lag['bar']:.0f} ms")
    if result["samples"] < result["samples_wanted"]:
        yield Reason(SAMPLES_MISSING, f"{result['samples']} of {result['samples_wanted']}")


def to_record(verdict: ControlVerdict) -> dict[str, Any]:
    """Return a verdict, for controls.json."""
    return asdict(verdict)
