"""Answers of git about a checkout."""

import os
import subprocess
from pathlib import Path


def read_git(root: Path, *arguments: str, **environment: str) -> str:
    """Return what a git command printed in `root`; empty if it failed or git is not there.

    `environment` is added to the process's own.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607
            cwd=root,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
