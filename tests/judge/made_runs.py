"""Made-up runs: samples of three scenarios, and the report, history and signature that the harness makes of them."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stress.control_record import ControlRecord
from stress.history import FILE as HISTORY
from stress.history import write_history
from stress.ledger import CallLedger, CallSample
from stress.model import ReadinessReport
from stress.profiles import SHORT
from stress.report_builder import build_report, build_timeline, write_report
from stress.scenario_context import ScenarioContext
from tests.stress.calls import make_call

ROOT = Path(__file__).resolve().parents[2]
CALLS = 1200
SCENARIOS = ("agents", "members", "histories")
GUARDS = {"service": "5e7a", "harness": "4a57", "control": "c047"}
DETECTED = ControlRecord(
    "retry-off", "agents", "Nothing is tried again.", detected=True, outcome="red", status="FAIL", red="Calls",
    when="2026-11-27T03:00:00+00:00", commit="f51b61400aa1", seconds=40.0, guards=GUARDS, guards_now=GUARDS,
)  # fmt: skip
MISSED = replace(DETECTED, name="limiter-open", detected=False, outcome="green", status="PASS", red="")
Samples = list[CallSample]


def make_samples(seed: int) -> Samples:
    """Return the samples of a made-up run of three scenarios, in which every tenth call met a dead function."""
    dice = random.Random(seed)
    return [_make_sample(number, dice) for number in range(CALLS)]


def _make_sample(number: int, dice: random.Random) -> CallSample:
    scenario = SCENARIOS[number * len(SCENARIOS) // CALLS]
    call = make_call(dice.choice(["register", "apply"]), key=f"key-{number}", wanted=(201, 502))
    sent = number / 50 + dice.random() / 500
    status = 502 if number % 10 == 5 else 201
    return CallSample(scenario, call, number / 50, sent, sent + dice.lognormvariate(-3, 0.8), status)


def make_report(samples: Samples, controls: Sequence[ControlRecord] = (DETECTED, MISSED)) -> ReadinessReport:
    """Return the report that the harness builds of these samples."""
    ledger = CallLedger(samples)
    return build_report(
        [_make_context(key, ledger).build_result() for key in SCENARIOS],
        started_at=datetime(2026, 11, 27, tzinfo=UTC),
        duration_s=25.0,
        profile="short",
        target="made up",
        over_time=build_timeline(samples, 25.0),
        environment={},
        settings={"mails a second": 14},
        controls=controls,
    )


def _make_context(key: str, ledger: CallLedger) -> ScenarioContext:
    made: Any = None  # no system, no generator: the result is made of the samples alone
    context = ScenarioContext(
        key=key, title=key.title(), promise="None.", profile=SHORT, generator=made, call_factory=made, ledger=ledger,
        progress=made, samples_wanted=sum(sample.scenario == key for sample in ledger.samples),
    )  # fmt: skip
    context.check_at_most("Slowest of all", 30_000, max(sample.latency_ms for sample in context.samples), "ms")
    context.check_equal("Answers of a dead function", {502: 40}, {502: sum(s.status == 502 for s in context.samples)})
    context.reconciliation.compare("rows", "all", 1, 1)
    return context


def write_run(folder: Path, *, told: Samples, happened: Samples) -> Path:
    """Write a run's folder: samples and report of what the ledger told, the history of what happened."""
    write_history(happened, {}, folder / HISTORY)
    write_report(make_report(told), told, folder, ROOT)
    return folder
