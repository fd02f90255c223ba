"""An earlier commit's code in a folder of its own, from which a local cloud of that time is started."""

import io
import subprocess
import tarfile
from pathlib import Path

from bench.programs import ROOT
from stress.git_reader import read_git

FILE = Path(__file__).with_name("earlier_commit.txt")
# Of what the code of that time runs in: each has the packages of then, and some more. Its layer it builds itself.
ENVIRONMENTS = ("local", "emulator", "lambda")


class CommitMissing(Exception):
    """The commit is not in this repository: a shallow clone, or no clone at all."""


def read_earlier_commit() -> str:
    """Return the commit that the file names."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    [commit] = [line.strip() for line in lines if line and not line.startswith("#")]
    return commit


def extract_commit(commit: str, folder: Path) -> Path:
    """Write a commit's code below a folder, unless it is there, and return its own folder. Raise CommitMissing.

    It stays there, so that the packages of its layer are installed once.
    """
    name = read_git(ROOT, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if not name:
        raise CommitMissing(f"{commit} is not in this repository (a shallow clone has only the newest commits)")
    code = folder / name[:12]
    if not code.exists():
        draft = folder / f"{name[:12]}.draft"
        draft.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "archive", name], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as content:
            content.extractall(draft, filter="data")
        draft.rename(code)
    link_environments(code)
    return code


def link_environments(code: Path) -> None:
    """Let the code of that time use the environments of this checkout."""
    (code / ".venvs").mkdir(exist_ok=True)
    for name in ENVIRONMENTS:
        link, environment = code / ".venvs" / name, (ROOT / ".venvs" / name).resolve()
        if not (link.is_symlink() and link.readlink() == environment):
            link.unlink(missing_ok=True)
            link.symlink_to(environment)
