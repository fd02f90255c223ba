"""`make release`: the code of a folder or a git revision, released on the running local cloud."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from local.deploy import STACK_NAME
from local.release.canary import NewCode, Release, ReleaseResult
from local.release.gateway_client import GatewayClient
from local.release.metrics import LogMetrics
from local.stack import Stack
from local.state_folder import StateFolder, build_front_url

PARTS = ("functions", "layers/shared")


class ReleaseFailed(Exception):
    """There is no such code, or the release was refused or rolled back; the message says which."""


def run_release(
    state_folder: StateFolder, source: str, *, minute_s: float, report: Callable[[str], None]
) -> ReleaseResult:
    """Release the functions of a folder that has them as this checkout has, or of a git revision; return the end.

    Raise ReleaseFailed if there is no such code. Migrations are not applied: `make migrate` does that.
    """
    stack = Stack.load(state_folder.stack)
    folder = Path(source).resolve() if Path(source).is_dir() else extract_revision(state_folder, source)
    code = find_code(stack, state_folder.root, folder)
    if not code:
        raise ReleaseFailed(f"{folder} has none of the functions that are released with a canary")
    gateway = GatewayClient(build_front_url(state_folder.read_state()))
    functions = [function.logical_id for function in stack.functions]
    metrics = LogMetrics(state_folder.logs, functions, {"ApiName": STACK_NAME, "Stage": stack.stage})
    return Release(stack, gateway, metrics, minute_s=minute_s, report=report).run(code)


def find_code(stack: Stack, root: Path, folder: Path) -> dict[str, NewCode]:
    """Return the new code by function, of those that CodeDeploy releases and the folder has."""
    found: dict[str, NewCode] = {}
    for group in stack.deployment_groups:
        function = stack.find_function(group.function)
        code_dir = folder / Path(function.code_dir).relative_to(root)
        if code_dir.is_dir():
            layer = folder / "layers/shared"
            own = [str(layer)] if (layer / "shared").is_dir() else []
            found[group.function] = NewCode(str(code_dir), [*own, *function.layer_dirs])
    return found


def extract_revision(state_folder: StateFolder, revision: str) -> Path:
    """Return a folder with the code of a git revision. Raise ReleaseFailed."""
    folder = state_folder.path / "releases" / revision.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision, *PARTS],  # noqa: S607
        cwd=state_folder.root,
        capture_output=True,
        check=False,
    )
    if archive.returncode != 0:
        raise ReleaseFailed(f"{revision} is neither a folder nor a revision: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)  # noqa: S607
    return folder


def format_result(result: ReleaseResult) -> str:
    """Return the last line of a release."""
    return f"{result.outcome}; {result.calls_seen} of {result.calls_total} calls saw the new versions"
