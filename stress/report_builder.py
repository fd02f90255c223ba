"""The end of every kind of run: builds the report and writes its folder."""

import platform
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from stress import samples, statement, verdict
from stress.git_reader import read_git
from stress.ledger import CallSample
from stress.limits import TOO_MANY
from stress.model import Point, ReadinessReport, ScenarioResult, Timeline
from stress.report import markdown, page
from stress.report.store import save

# Made at the first run on a machine, and kept out of the repository.
SIGNING_KEY = Path(__file__).resolve().parents[1] / ".stress" / "signing-key.pem"


def build_report(
    results: list[ScenarioResult],
    *,
    started_at: datetime,
    duration_s: float,
    profile: str,
    target: str,
    over_time: Timeline,
    environment: dict[str, str],
    settings: dict[str, Any],
) -> ReadinessReport:
    """Return the report; its verdict and score follow from the results."""
    return ReadinessReport(
        started_at=started_at.isoformat(timespec="seconds"),
        duration_s=duration_s,
        profile=profile,
        target=target,
        verdict=verdict.combine_status(results),
        passed=sum(result.status == "PASS" for result in results),
        total=len(results),
        results=results,
        timeline=over_time,
        environment=environment,
        settings=settings,
    )


def write_report(found: ReadinessReport, seen: Sequence[CallSample], folder: Path, root: Path) -> None:
    """Write the pages, the samples, report.json, and last the statement: if that exists, everything does.

    `root` is the checkout that was driven.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples.write_samples(seen, folder / samples.FILE)
    page.write_page(found, folder)
    markdown.write_markdown(found, folder)
    save(found, folder)
    statement.sign_report(found, folder, root, SIGNING_KEY)


def build_timeline(seen: Sequence[CallSample], end_s: float) -> Timeline:
    """Return answers a second: all, the unexpected ones, and those that were refused as intended."""
    return Timeline(
        throughput=_count_by_second(seen, end_s),
        errors=_count_by_second([s for s in seen if not s.is_expected], end_s),
        refused=_count_by_second([s for s in seen if s.is_expected and s.status == TOO_MANY], end_s),
    )


def _count_by_second(seen: Sequence[CallSample], end_s: float) -> list[Point]:
    counts = Counter(int(sample.done_s) for sample in seen)
    return [(float(second), float(counts[second])) for second in range(int(end_s) + 1)]


def describe_environment(root: Path) -> dict[str, str]:
    """Return a description of the machine that the figures were measured on."""
    return {
        "commit": read_git(root, "rev-parse", "--short=12", "HEAD") or "unknown",
        "changes not committed": "yes" if read_git(root, "status", "--porcelain") else "none",
        "machine": f"{platform.machine()}, {psutil.cpu_count()} processors",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{psutil.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    }
