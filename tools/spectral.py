"""Install Spectral, the linter of API descriptions, into .venvs/spectral, and run it.

    python -m tools.spectral

Spectral is a program of Node.js, so it needs npm. What is installed is pinned with hashes by requirements/spectral; it
is installed again if that changes.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.pages import ROOT

PINNED = ROOT / "requirements/spectral"
FOLDER = ROOT / ".venvs/spectral"
RULES = ROOT / ".spectral.yaml"
DESCRIPTION = ROOT / "functions/pages/pages/openapi.json"
LOCK = "package-lock.json"
INSTALL_S = 300
LINT_S = 120


class SpectralFailed(Exception):
    """Spectral can't be installed, or did not come to a result; the message has what was printed."""


def install(folder: Path = FOLDER) -> None:
    """Install what is pinned unless it is there. No package runs a script of its own. Raise SpectralFailed."""
    done, pinned = folder / "installed.json", (PINNED / LOCK).read_text(encoding="utf-8")
    if done.exists() and done.read_text(encoding="utf-8") == pinned:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", LOCK):
        shutil.copyfile(PINNED / name, folder / name)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)], INSTALL_S, (0,))
    done.write_text(pinned, encoding="utf-8")


def lint(description: Path, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return what Spectral finds, errors and warnings alike. Raise SpectralFailed."""
    program = folder / "node_modules/.bin/spectral"
    command = [str(program), "lint", "--ruleset", str(RULES), "--format", "json", "--quiet", str(description)]
    found: list[dict[str, Any]] = json.loads(run(command, LINT_S, (0, 1)) or "[]")
    return found


def run(command: list[str], seconds: float, accepted: tuple[int, ...]) -> str:
    """Return what a command prints. Raise SpectralFailed if it ends with another status than those accepted."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
    if done.returncode not in accepted:
        raise SpectralFailed(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Lint the description; return 1 if there is a finding."""
    install()
    found = lint(DESCRIPTION)
    for each in found:
        print(f"{'/'.join(map(str, each['path']))}: {each['code']}: {each['message']}")
    print(f"spectral: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
