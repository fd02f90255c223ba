"""What is published of a run: all that anyone needs to judge it again, and nothing about the machine it ran on."""

import base64
import gzip
import json
import re
import shutil
import time
from pathlib import Path

import pytest

from judge import same_run, verify
from judge.history.checker import check_history
from judge.history.reading import read_history
from stress import published_claims, statement
from stress.function_log import ARCHIVE_FILE
from stress.git_reader import read_git
from stress.history import FILE as HISTORY
from stress.model import ReadinessReport
from stress.published_claims import GUARANTEES, PAGE, REPORT
from stress.published_report import HOMES, MachineNamed, find_machine, publish
from stress.report import store
from stress.report_builder import write_report
from stress.statement import SIGNER_FILE, STATEMENT_FILE, UntrueStatement
from tests.services import ROOT
from tests.stress import sample

OF_ANOTHER_RUN = "of-another-run.gz"
JUDGED_WITHIN_S = 10.0  # of processor time: what anybody should be ready to wait for
MOST_S = 20 * 60.0


@pytest.fixture
def report() -> ReadinessReport:
    return sample.make_mixed_report()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout with the published report of another run; no claim is made, and it has a key of its own."""
    monkeypatch.setattr("stress.report_builder.SIGNING_KEY", tmp_path / "key.pem")
    monkeypatch.setattr(published_claims, "read_published_claims", list)
    root = tmp_path / "checkout"
    for path in (PAGE, GUARANTEES, REPORT / OF_ANOTHER_RUN):
        (root / path).parent.mkdir(parents=True)
    (root / REPORT / OF_ANOTHER_RUN).touch()
    shutil.copy(ROOT / GUARANTEES, root / GUARANTEES)
    return root


@pytest.fixture
def folder(checkout: Path, report: ReadinessReport) -> Path:
    """Return the folder of a run that did not pass: logs are beside its report, and signed with it."""
    made = checkout / "reports/now"
    made.mkdir(parents=True)
    (made / "history.jsonl.gz").write_bytes(gzip.compress(b"history"))
    (made / ARCHIVE_FILE).write_bytes(gzip.compress(f"{checkout}/functions/members/app.py".encode()))
    write_report(report, [], made, ROOT)
    return made


def read_subjects(folder: Path) -> dict[str, object]:
    """Return the digests that a statement has, by what they are of."""
    envelope = json.loads((folder / STATEMENT_FILE).read_bytes())
    return {each["name"]: each["digest"] for each in json.loads(base64.b64decode(envelope["payload"]))["subject"]}


def list_faults(folder: Path) -> list[str]:
    """Return what is wrong with a folder's files, by its statement."""
    findings = verify.ReportFindings()
    assert verify.verify_statement(folder, folder / "signer.pub", findings)
    return findings.faults


def test_a_published_report_can_be_verified_and_has_no_logs(checkout: Path, folder: Path) -> None:
    """Every other signed file is published, the run's history too, and no file of the report before stays."""
    publish(folder, checkout, marked=True)
    published = checkout / REPORT
    assert list_faults(published) == []
    names = {path.name for path in folder.iterdir()}
    assert ARCHIVE_FILE in names
    assert {path.name for path in published.iterdir()} == names - {ARCHIVE_FILE}
    assert list_faults(folder) == []  # the run's own folder stays as it is


def test_its_statement_names_the_code_that_was_driven_though_the_checkout_has_gone_on(
    checkout: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy has everything but the logs."""
    monkeypatch.setattr(statement, "write_tree", lambda _root: "0" * 40)
    before = read_subjects(folder)
    assert "code" in before
    publish(folder, checkout, marked=True)
    logs = f"report/{ARCHIVE_FILE}"
    assert {**read_subjects(checkout / REPORT), logs: before[logs]} == before


def test_a_report_that_was_changed_since_it_was_signed_is_not_signed_anew(checkout: Path, folder: Path) -> None:
    """A report that somebody else has signed isn't either; the published one stays."""
    (folder / "report.md").write_text("## PASS")
    with pytest.raises(UntrueStatement, match=r"report\.md"):
        publish(folder, checkout, marked=True)
    write_report(sample.make_passing_report(), [], folder, ROOT)
    (checkout.parent / "key.pem").unlink()
    with pytest.raises(UntrueStatement, match="this machine's key"):
        publish(folder, checkout, marked=True)
    assert [path.name for path in (checkout / REPORT).iterdir()] == [OF_ANOTHER_RUN]
    assert not (checkout / PAGE).exists()


@pytest.mark.parametrize("name", ["report.md", "history.jsonl.gz"])
def test_a_report_that_names_a_folder_of_this_machine_is_not_published(
    checkout: Path, report: ReadinessReport, name: str
) -> None:
    """A file of the checkout, in a text or in what is packed."""
    made, text = checkout / "reports/now", f"in {checkout}/functions/members/app.py".encode()
    made.mkdir(parents=True)
    (made / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    write_report(report, [], made, ROOT)
    if name == "report.md":
        (made / name).write_bytes(text)
        statement.sign_report(report, made, ROOT, checkout.parent / "key.pem")
    with pytest.raises(MachineNamed, match=f"{name} names {re.escape(str(checkout))}"):
        publish(made, checkout, marked=True)
    assert [path.name for path in (checkout / REPORT).iterdir()] == [OF_ANOTHER_RUN]


@pytest.mark.parametrize(
    ("text", "named"),
    [("at /home/besa/api/app.py", True), ("at /Users/besa", True), ("GET /homes/7", False), ("~/api", False)],
)
def test_a_home_of_anybody_is_known_by_its_path(text: str, named: bool) -> None:
    """Of this machine's own the path is known."""
    assert bool(re.search(HOMES, text)) == named


def test_no_file_that_is_published_names_a_checkout_or_a_home() -> None:
    """This is checked on the files that are in the repository now."""
    assert list(find_machine(ROOT / REPORT, ROOT)) == []


def test_no_file_that_is_published_has_a_mail_address() -> None:
    """Neither of those in which a run's people are made up, nor of those to which it sends."""
    for path in sorted((ROOT / REPORT).iterdir()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert re.search(rb"[\w.+-]+@(example\.test|simulator\.amazonses\.com)", content) is None, path.name


def test_a_kept_report_can_be_kept_again(checkout: Path, report: ReadinessReport) -> None:
    """A changed claim's page is made again from the kept report."""
    kept = checkout / REPORT
    (kept / OF_ANOTHER_RUN).unlink()
    write_report(report, [], kept, ROOT)
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    publish(kept, checkout)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert (checkout / PAGE).read_text(encoding="utf-8") == published_claims.build_page(report, [], checkout)


def test_the_published_report_is_judged_again_from_its_raw_files_in_ten_seconds() -> None:
    """As anybody may do it: signature, files, figures, verdicts, pages and history are of one run, and agree."""
    began = time.process_time()
    found = verify.verify_report(ROOT / REPORT, ROOT / REPORT / SIGNER_FILE)
    took_s = time.process_time() - began
    assert found.faults == []
    assert min(found.compared[kind] for kind in ("files", "figures of calls", "checks", "verdicts")) > 0
    assert took_s <= JUDGED_WITHIN_S
    assert same_run.find_contradictions(ROOT / REPORT) == []
    assert check_history(read_history(ROOT / REPORT / HISTORY)).anomalies == []


def test_the_published_report_is_about_the_commit_that_it_names() -> None:
    """The tree that was driven, as its statement has it, is the commit's: nothing in it was uncommitted."""
    commit = store.load(ROOT / REPORT).environment["commit"]
    tree = read_git(ROOT, "rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")
    if not tree:
        pytest.skip(f"this clone does not have {commit}")
    assert read_subjects(ROOT / REPORT)["code"] == {"gitTree": tree}


def test_the_published_run_took_twenty_minutes_at_most() -> None:
    """A report that takes longer is one that nobody makes again."""
    assert 0 < store.load(ROOT / REPORT).duration_s <= MOST_S
