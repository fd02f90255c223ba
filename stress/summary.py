"""What all runs have in common at their end: the report put together, and its folder."""

import contextlib
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from stress import samples, verdict
from stress.ledger import Sample
from stress.limits import TOO_MANY
from stress.model import Point, Report, Result, Timeline
from stress.report import markdown, page
from stress.report.store import save


def report(
    results: list[Result],
    *,
    started_at: datetime,
    duration_s: float,
    profile: str,
    target: str,
    over_time: Timeline,
    environment: dict[str, str],
    settings: dict[str, Any],
) -> Report:
    """The report; its verdict and score follow from the results."""
    return Report(
        started_at=started_at.isoformat(timespec="seconds"),
        duration_s=duration_s,
        profile=profile,
        target=target,
        verdict=verdict.overall(results),
        passed=sum(result.status == "PASS" for result in results),
        total=len(results),
        results=results,
        timeline=over_time,
        environment=environment,
        settings=settings,
    )


def write(found: Report, seen: Sequence[Sample], folder: Path) -> None:
    """The pages, the samples, and last the report itself: where that is, all is."""
    folder.mkdir(parents=True, exist_ok=True)
    samples.write(seen, folder / "samples.csv.gz")
    page.write(found, folder)
    markdown.write(found, folder)
    save(found, folder)


def timeline(seen: Sequence[Sample], end_s: float) -> Timeline:
    """Answers a second: all, those that were wrong, and those that were refused as they should be."""
    return Timeline(
        throughput=_by_second(seen, end_s),
        errors=_by_second([s for s in seen if not s.right], end_s),
        refused=_by_second([s for s in seen if s.right and s.status == TOO_MANY], end_s),
    )


def _by_second(seen: Sequence[Sample], end_s: float) -> list[Point]:
    counts = Counter(int(sample.done_s) for sample in seen)
    return [(float(second), float(counts[second])) for second in range(int(end_s) + 1)]


def environment(root: Path) -> dict[str, str]:
    """The machine that the figures were measured on."""
    return {
        "commit": _git(root, "rev-parse", "--short=12", "HEAD") or "unknown",
        "changes not committed": "yes" if _git(root, "status", "--porcelain") else "none",
        "machine": f"{platform.machine()}, {psutil.cpu_count()} processors",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{psutil.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    }


def _git(root: Path, *arguments: str) -> str:
    with contextlib.suppress(OSError):
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S607
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
