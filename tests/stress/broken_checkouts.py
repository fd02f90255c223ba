"""A small checkout to be broken, and a harness for it that reports the results in `plan.json`.

As a program it takes the harness's options. The plan says what becomes of each copy, by its name: a scenario's result
by its status and the check that failed, or "crashes", "hangs", "says nothing".
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from stress.model import Assertion, Difference, Lag, ReadinessReport, Reconciliation, ScenarioResult, Status

PLAN, STARTED, CALLS = "plan.json", "started.json", "calls.jsonl"
RULES = "layers/shared/shared/rules.py"
LATE = Lag(sends=20, p50=1, p99=900, most=1000, bar=50)


def make_result(
    key: str, status: str, *, failed: str = "", difference: str = "", lag: Lag | None = None, samples: int = 20
) -> ScenarioResult:
    """Return a scenario's result, with a check that holds, and what is named besides."""
    checks = [Assertion("It goes on", passed=True, wanted="yes", found="yes")]
    checks += [Assertion(failed, passed=False, wanted="5", found="20")] if failed else []
    differences = [Difference(difference, str(n), "1", "2") for n in range(2)] if difference else []
    return ScenarioResult(
        key, key, "", cast("Status", status), 0, 1, checks=checks, lag=lag, samples=samples, samples_wanted=20,
        reconciliation=Reconciliation({}, differences),
    )  # fmt: skip


def make_report(*results: ScenarioResult) -> dict[str, Any]:
    """Return a report of these results, as report.json has it."""
    whole = ReadinessReport("2026-01-01T00:00:00+00:00", 1, "control", "here", "PASS", 0, len(results), list(results))
    document: dict[str, Any] = json.loads(json.dumps(asdict(whole)))
    return document


def make_checkout(folder: Path) -> Path:
    """Return a git checkout with tracked, new, ignored and removed files, and with environments."""
    git = ["git", "-C", str(folder), "-c", "user.name=Test", "-c", "user.email=test@example.test"]
    files = {".gitignore": ".venvs/\n/build/\n/reports/\n*.pyc\n", "code/service.py": "LIMIT = 5\n", "code/gone.py": ""}
    put_files(folder, {**files, RULES: "STRICT = True\n", "migrations/0001.sql": "SELECT 1;\n"})
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "All of it"]):
        subprocess.run([*git, *command], check=True)
    (folder / "code/gone.py").unlink()
    (folder / "code/alias.py").symlink_to("service.py")
    put_files(folder, {"code/new name é.py": "NEW = 1\n", "code/service.pyc": "stale", "reports/old.md": "old"})
    put_files(folder, {".venvs/local/bin/python": "", ".venvs/layer/.stamp": "stamp", ".venvs/local.log": ""})
    put_files(folder, {".venvs/layer/python/psycopg/__init__.py": ""})
    (folder / ".venvs/layer/python/shared").symlink_to(folder / "layers/shared/shared")
    return folder


def put_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def patch_of(name: str, before: str, after: str) -> str:
    """Return a patch of a file that has only one line."""
    return f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{before}\n+{after}\n"


def read_everything(folder: Path) -> dict[str, str]:
    """Return every file and link of a folder, but what git and the runs keep for themselves."""
    found = (
        path for path in folder.rglob("*") if path.relative_to(folder).parts[0] not in (".git", "build", "reports")
    )
    return {str(p.relative_to(folder)): str(p.readlink()) if p.is_symlink() else p.read_text() for p in found
            if p.is_symlink() or p.is_file()}  # fmt: skip


def _find_value(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def _wait_forever() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("started.draft").write_text(json.dumps([child.pid]))
    Path("started.draft").rename(STARTED)
    time.sleep(600)


def main(arguments: list[str]) -> int:
    """Return the harness."""
    copy, out = Path(_find_value(arguments, "--root")), Path(_find_value(arguments, "--out"))
    only = [value for option, value in pairwise(arguments) if option == "--only"]
    code = (copy / "code/service.py").read_text()
    with Path(CALLS).open("a") as calls:
        calls.write(json.dumps({"copy": copy.name, "arguments": arguments, "code": code}) + "\n")
    plan = json.loads(Path(PLAN).read_text()).get(copy.name, {"status": "PASS"})
    sys.stdout.write(f"driving {copy.name}\n")
    if plan == "hangs":
        _wait_forever()
    if plan == "crashes":
        return 3
    if plan != "says nothing":
        (out / "report.json").write_text(json.dumps(make_report(*(make_result(key, **plan) for key in only))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
