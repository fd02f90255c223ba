"""A service that is really broken leaves a history in which the checker finds it."""

import json
import subprocess
import sys
from pathlib import Path

from stress.controls.__main__ import ROOT

LIMIT_S = 600.0  # three local clouds of half a minute each
BROKEN = ("member-not-locked", "claims-cached")


def test_a_lost_update_and_a_stale_read_are_found_in_the_history_of_a_broken_service() -> None:
    """The history of the service as it is, which runs first, has neither."""
    before = set((ROOT / "reports").glob("controls-*"))
    options = [part for name in BROKEN for part in ("--only", name)]
    command = [sys.executable, "-m", "stress.controls", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    (folder,) = set((ROOT / "reports").glob("controls-*")) - before
    controls = json.loads(Path(folder, "controls.json").read_text(encoding="utf-8"))
    assert (done.returncode, controls["verdict"], controls["passed"]) == (0, "PASS", 1 + len(BROKEN)), controls
