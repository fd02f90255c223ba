"""A signed report is judged again from its raw files, by a program that shares no code with the harness."""

import base64
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from judge import verify
from stress import statement
from stress.ledger import CallLedger, CallSample
from stress.model import Difference, ReadinessReport
from stress.profiles import SHORT
from stress.report.store import load, save
from stress.report_builder import build_report, build_timeline, write_report
from stress.scenario_context import ScenarioContext
from stress.statement import sign_report
from tests.stress.calls import make_call

ROOT = Path(__file__).resolve().parents[2]
CALLS = 400
SEED = 20261127


def make_ledger() -> CallLedger:
    """Return the samples of a made-up scenario: some late, some refused as wanted, two without an answer."""
    dice, ledger = random.Random(SEED), CallLedger()
    for number in range(CALLS):
        call = make_call(dice.choice(["register", "apply"]), key=f"key-{number}", wanted=(0, 201, 429))
        sent = number / 20 + dice.random() / 500
        status = 0 if number in (70, 90) else dice.choice([201, 201, 201, 429])
        done = sent + dice.lognormvariate(-3, 0.8)
        problem = "too-many-requests" if status == 429 else ""
        ledger.note(CallSample("members", call, number / 20, sent, done, status, problem, {"id": f"m-{number}"}))
    return ledger


def _add_checks(context: ScenarioContext, samples: list[CallSample]) -> None:
    """Make one check of each kind, by calls and by values; all of them hold."""
    accepted = [sample for sample in samples if sample.is_accepted]
    waits = [float(n) for n in range(1, 101)]
    context.check_statuses("Statuses", Counter(sample.status for sample in samples), samples)
    context.check_share_at_most("Without answer", 0.03, [s for s in samples if s.status == 0], samples)
    context.check_share_at_least("As wanted", 0.98, samples, samples)
    context.check_share_at_most("Lost", 0.01, 0, 1000)
    context.check_percentile_at_most("p95", 0.95, 1000, accepted)
    context.check_percentile_at_most("Waits", 0.5, 70, waits, "s")
    context.check_ratio_at_most("Halves", 2, accepted[::2], accepted[1::2], 0.95)
    context.check_ratio_at_least("Waits ÷ shorter ones", 4, [10 * each for each in waits], waits, 0.9)


def make_report(ledger: CallLedger) -> ReadinessReport:
    """Return the report that the harness builds of these samples."""
    made: Any = None  # no system, no generator: the result is made of the samples alone
    context = ScenarioContext(
        key="members",
        title="Members",
        promise="None.",
        profile=SHORT,
        generator=made,
        call_factory=made,
        ledger=ledger,
        progress=made,
        ended_s=21.0,
        samples_wanted=CALLS,
    )
    context.check_equal("Calls", CALLS, len(ledger.samples))
    _add_checks(context, ledger.samples)
    context.reconciliation.compare("rows", "all", 1, 1)
    return build_report(
        [context.build_result()],
        started_at=datetime(2026, 11, 27, tzinfo=UTC),
        duration_s=22.0,
        profile="short",
        target="made up",
        over_time=build_timeline(ledger.samples, 22.0),
        environment={},
        settings={"seed": SEED},
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a signed report."""
    folder = tmp_path_factory.mktemp("report")
    ledger = make_ledger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stress.report_builder.SIGNING_KEY", folder.parent / "key.pem")
        write_report(make_report(ledger), ledger.samples, folder, ROOT)
    return folder


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder, to be changed."""
    return Path(shutil.copytree(published, tmp_path / "report"))


def list_faults(folder: Path) -> list[str]:
    """Return what differs, for a reader who trusts the key in the folder."""
    return verify.verify_report(folder, folder / statement.SIGNER_FILE).faults


def test_an_unchanged_report_is_verified(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of comparison was made: files, figures and verdicts."""
    assert verify.main([str(published)]) == 0
    found = verify.verify_report(published, published / statement.SIGNER_FILE)
    assert found.faults == []
    assert {kind: count > 4 for kind, count in found.compared.items()} == {
        "files": True, "figures of calls": True, "checks": True, "verdicts": True,
    }  # fmt: skip
    assert "VERIFIED in" in capsys.readouterr().out


def test_five_hundred_changed_bytes_are_found(published: Path, tmp_path: Path) -> None:
    """One random byte of a random file, changed to another: each time the report is refused."""
    dice = random.Random(SEED)
    names = sorted(path.name for path in published.iterdir())
    missed = []
    for number in range(500):
        folder = tmp_path / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(published, folder)
        path = folder / dice.choice(names)
        content = bytearray(path.read_bytes())
        at = dice.randrange(len(content))
        content[at] ^= dice.randrange(1, 256)
        path.write_bytes(content)
        if not verify.verify_report(folder, published / statement.SIGNER_FILE).faults:
            missed.append((number, path.name, at))
    assert missed == []


def test_a_missing_and_an_added_file_are_found(copied: Path) -> None:
    """The folder has the signed files and no other."""
    (copied / "report.md").unlink()
    assert any("the names of the files" in fault for fault in list_faults(copied))
    (copied / "report.md").write_bytes(b"")
    (copied / "added.txt").write_bytes(b"")
    assert any("added.txt" in fault for fault in list_faults(copied))


def test_another_signer_is_refused(copied: Path, published: Path, tmp_path: Path) -> None:
    """A report that was signed anew by another key is found by whoever trusts the first one."""
    sign_report(load(copied), copied, ROOT, tmp_path / "other.pem")
    assert list_faults(copied) == []
    found = verify.verify_report(copied, published / statement.SIGNER_FILE)
    assert any("not signed by this key" in fault for fault in found.faults)


def _change_result(**changes: Any) -> Callable[[ReadinessReport], ReadinessReport]:
    return lambda report: replace(report, results=[replace(report.results[0], **changes)])


def _speed_up(report: ReadinessReport) -> ReadinessReport:
    [result] = report.results
    faster = [replace(each, p95=(each.p95 or 0) - 0.01) for each in result.latencies]
    return replace(report, results=[replace(result, latencies=faster)])


def _fail_check(report: ReadinessReport) -> ReadinessReport:
    [result] = report.results
    return replace(report, results=[replace(result, checks=[replace(result.checks[0], passed=False)])])


def _change_check(name: str, **changes: Any) -> Callable[[ReadinessReport], ReadinessReport]:
    """Return the change of one check; `estimate` and `evidence` are given as changes of theirs."""

    def change(report: ReadinessReport) -> ReadinessReport:
        [result] = report.results
        checks = []
        for check in result.checks:
            made = check
            if check.name == name:
                inner = {
                    key: replace(getattr(check, key), **value)
                    for key, value in changes.items()
                    if isinstance(value, dict)
                }
                made = replace(check, **{**changes, **inner})
            checks.append(made)
        assert checks != result.checks
        return replace(report, results=[replace(result, checks=checks)])

    return change


def _add_difference(report: ReadinessReport) -> ReadinessReport:
    [result] = report.results
    lost = Difference("rows", "m-1", "1", "0")
    return replace(report, results=[replace(result, reconciliation=replace(result.reconciliation, differences=[lost]))])


def _quiet_timeline(report: ReadinessReport) -> ReadinessReport:
    quiet = [(second, 0.0) for second, _ in report.timeline.refused]
    return replace(report, timeline=replace(report.timeline, refused=quiet))


@pytest.mark.parametrize(
    "change",
    [
        _change_result(samples=CALLS + 1),
        _change_result(samples_wanted=CALLS + 1),
        _change_result(answers={"201": CALLS}),
        _change_result(lag=None),
        _change_result(status="FAIL"),
        _change_result(key="agents"),
        lambda report: replace(report, passed=2),
        lambda report: replace(report, verdict="FAIL"),
        _speed_up,
        _fail_check,
        _add_difference,
        _quiet_timeline,
        _change_check("Statuses", evidence={"wanted": {201: CALLS}}),
        _change_check("Statuses", evidence={"samples": "1-399"}),
        _change_check("Without answer", estimate={"high": 0.015}),
        _change_check("Without answer", estimate={"value": 0.001}),
        _change_check("Without answer", evidence={"others": "71"}),
        _change_check("Without answer", evidence={"bar": 0.01}),
        _change_check("As wanted", estimate={"low": 0.995}),
        _change_check("Lost", evidence={"other_values": (3.0,)}),
        _change_check("Lost", estimate=None),
        _change_check("p95", estimate={"high": 180.0}),
        _change_check("p95", estimate=None),
        _change_check("p95", evidence={"bar": 100.0}),
        _change_check("p95", evidence={"samples": "1-40"}),
        _change_check("p95", passed=False, undecided=True),
        _change_check("p95", evidence=None, undecided=True),
        _change_check("Halves", estimate={"high": 1.01}),
        _change_check("Halves", estimate={"value": 1.0}),
        _change_check("Halves", evidence={"bar": 1.0}),
        _change_check("Waits ÷ shorter ones", evidence={"values": (1.0,) * 100}),
    ],
)
def test_a_signed_report_that_its_raw_files_contradict_is_refused(
    copied: Path, tmp_path: Path, change: Callable[[ReadinessReport], ReadinessReport]
) -> None:
    """A signature says who wrote it, not that it is true."""
    report = change(load(copied))
    save(report, copied)
    sign_report(report, copied, ROOT, tmp_path / "key.pem")
    assert list_faults(copied) != []


def test_a_file_that_is_no_report_is_refused(copied: Path) -> None:
    """Whatever is wrong with a file, the program says so and ends."""
    for name, content in (("report.json", b"{}"), ("samples.csv.gz", b"\x1f\x8b"), ("statement.json", b"[]")):
        (copied / name).write_bytes(content)
        assert list_faults(copied) != []


def test_the_statement_names_the_code_and_leaves_the_index_alone(published: Path) -> None:
    """The tree is what git would commit, with what is not committed yet."""
    envelope = json.loads((published / statement.STATEMENT_FILE).read_bytes())
    subjects = {each["name"]: each["digest"] for each in json.loads(base64.b64decode(envelope["payload"]))["subject"]}
    assert subjects["code"] == {"gitTree": statement.write_tree(ROOT)}
    assert len(subjects["code/layers/shared"]["gitTree"]) == 40
    assert len(subjects["code/template.yaml"]["sha256"]) == 64


def test_the_program_stays_small_enough_to_be_read() -> None:
    """Whoever doubts the report can read this program instead."""
    assert len(Path(verify.__file__).read_text(encoding="utf-8").splitlines()) <= 400


def test_an_undecided_check_makes_a_scenario_invalid_unless_something_failed(copied: Path) -> None:
    """By the judge's own rules, whatever the report says."""
    [result] = json.loads((copied / "report.json").read_bytes())["results"]
    assert verify.judge_scenario(result) == "PASS"
    result["checks"][1] |= {"passed": False, "undecided": True}
    assert verify.judge_scenario(result) == "INVALID"
    result["checks"][2] |= {"passed": False}
    assert verify.judge_scenario(result) == "FAIL"
