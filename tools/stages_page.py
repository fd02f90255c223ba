"""Generate docs/reference/ci.md, how long CI last took, from measurements/stages.json.

Usage: python -m tools.stages_page [--check | --keep]

`--keep` first takes over the figures of the last `make ci` (build/stages.json): run it right after `.ci/run` on a
machine that had no environments, so that their installation is part of the times.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.pages import REFERENCE, ROOT, format_table, write_or_check

KEPT = ROOT / "measurements/stages.json"
PAGE = REFERENCE / "ci.md"
LAST = "sam"  # only a run of `make ci` has it
HEAD = """# How long CI takes

`.ci/run` on a bare machine, environments included: {total} minutes on {processors} processors, at commit `{commit}`.
It should take 45 minutes, and is ended after 85. Stages that run beside each other take more together than the time
that passes ([decision 64](../decisions/0064-run-ci-stages-beside-each-other.md)). What each of them does is in
[how it is tested](../explanation/testing.md); `make test` and `make ci` leave the times of their own run in
`build/stages.txt`. This page is generated from `measurements/stages.json`, which `make ci-page KEEP=1` takes over from
a run.

"""


class NotMeasured(Exception):
    """There is no run of CI whose figures could be kept; the message has the reason."""


def render(figures: Mapping[str, Any]) -> str:
    """Return the page."""
    head = HEAD.format(
        total=format_minutes(figures["total_s"]), processors=figures["processors"], commit=figures["commit"][:8]
    )
    return head + format_table(("Stage", "Minutes", "Beside it", "Note"), list_rows(figures))


def list_rows(figures: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each stage, and one for the whole."""
    for stage in figures["stages"]:
        beside = ", ".join(f"`{name}`" for name in stage["beside"])
        yield f"`{stage['name']}`", format_minutes(stage["seconds"]), beside, stage["note"]
    yield "**total**", format_minutes(figures["total_s"]), "", ""


def format_minutes(seconds: float) -> str:
    """Return seconds as minutes with one decimal."""
    return f"{seconds / 60:.1f}"


def keep_figures(measured: Path, kept: Path) -> None:
    """Copy the figures of a whole run that succeeded. Raise NotMeasured."""
    if not measured.exists():
        raise NotMeasured(f"{measured} does not exist: run `make ci`")
    figures = json.loads(measured.read_text(encoding="utf-8"))
    statuses = {stage["name"]: stage["status"] for stage in figures["stages"]}
    if LAST not in statuses or any(statuses.values()):
        raise NotMeasured(f"the last run was not a whole `make ci` that succeeded: {statuses}")
    kept.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Keep, write or check; return the exit status."""
    if "--keep" in arguments:
        try:
            keep_figures(ROOT / "build/stages.json", KEPT)
        except NotMeasured as error:
            print(error, file=sys.stderr)
            return 1
    return write_or_check(PAGE, render(json.loads(KEPT.read_text(encoding="utf-8"))), "make ci-page", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
