"""The build that `sam local` runs: one of template.yaml for this machine, made fit for a local stack."""

import json
import os
import platform
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT
from tempfile import TemporaryFile
from typing import Any

from local.certificates import ensure_certificates
from local.sam import container_wrapper
from local.state_folder import StateFolder
from local.template import read_template

ARCHITECTURES = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}
LAYER = "SharedLayer"
OWN = "local"  # the folder of the layer with what only a local stack needs
AUTHORITY = f"{OWN}/authority.pem"
WRAPPER = f"{OWN}/wrapper"
SHEBANG = "#!/var/lang/bin/python3.13\n"  # Python in Lambda's image
# Variables of a function that the template doesn't set.
OWN_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_LAMBDA_EXEC_WRAPPER")
OUTPUT_LINES = 20  # of a build that failed
BUILD_S = 600.0  # it takes ten seconds, and more if the packages are far


class SamBuildFailed(Exception):
    """`sam build` failed or took too long; the message has the end of what it printed."""


@dataclass(frozen=True)
class SamFiles:
    """The folder of the build, the template that `sam local` reads, and the functions' environment."""

    build: Path
    template: Path
    environment: Path

    @classmethod
    def make_below(cls, state: Path) -> "SamFiles":
        """Return the files of the local cloud with that state folder; samconfig.toml names those of `.local`."""
        folder = state / "sam"
        return cls(folder / "build", folder / "build/local.json", folder / "environment.json")


def read_machine_architecture() -> str:
    """Return Lambda's name of this machine's processor."""
    return ARCHITECTURES[platform.machine()]


def adapt_build(state_folder: StateFolder, files: SamFiles, architecture: str) -> None:
    """Make a build fit for the local stack: with its database's authority, a way to it, and a template of its own."""
    layer = files.build / LAYER
    (layer / OWN).mkdir(exist_ok=True)
    shutil.copyfile(ensure_certificates(state_folder.certificates).authority, layer / AUTHORITY)
    source = Path(container_wrapper.__file__).read_text(encoding="utf-8")
    (layer / WRAPPER).write_text(SHEBANG + source, encoding="utf-8")
    (layer / WRAPPER).chmod(0o755)
    template = read_template((files.build / "template.yaml").read_text(encoding="utf-8"))
    files.template.write_text(json.dumps(adapt_template(template, architecture), indent=1), encoding="utf-8")


def run_sam_build(root: Path, folder: Path, architecture: str) -> None:
    """Build the functions and the layer for an architecture. Raise SamBuildFailed."""
    command = [str(root / ".venvs/sam/bin/sam"), "build", "--build-dir", str(folder)]
    command += ["--parameter-overrides", f"Architecture={architecture}"]
    variables = {**os.environ, "LAYER_ARCHITECTURE": architecture, "SAM_CLI_TELEMETRY": "0"}
    # A file: the end of a pipe would come only when the last child of a build that was ended has closed it.
    with TemporaryFile("w+", encoding="utf-8") as output:
        try:
            subprocess.run(command, cwd=root, env=variables, stdout=output, stderr=STDOUT, check=True, timeout=BUILD_S)
        except subprocess.TimeoutExpired as error:
            raise SamBuildFailed(f"sam build took more than {BUILD_S:.0f} s") from error
        except subprocess.CalledProcessError as error:
            output.seek(0)
            raise SamBuildFailed("\n".join(output.read().splitlines()[-OUTPUT_LINES:])) from error


def adapt_template(template: dict[str, Any], architecture: str) -> dict[str, Any]:
    """Return the template for that processor, with a place for the variables that lead to the stack.

    `sam local` passes no variable on that the template doesn't have.
    """
    template["Parameters"]["Architecture"]["Default"] = architecture
    template["Parameters"]["DatabaseMode"]["Default"] = "existing"  # as the local cloud deploys it
    template["Globals"]["Function"]["Environment"]["Variables"] |= dict.fromkeys(OWN_VARIABLES, "")
    leave_out_hiding_routes(template["Resources"])
    return template


def leave_out_hiding_routes(resources: Mapping[str, Any]) -> None:
    """Leave out routes for any method of a path whose own methods are another function's.

    API Gateway prefers a method to ANY; `sam local start-api` (1.170) takes what the template has last.
    """
    events = {name: resource.get("Properties", {}).get("Events", {}) for name, resource in resources.items()}
    owners: dict[str, set[str]] = defaultdict(set)
    for name, own in events.items():
        for path, method in map(read_route, own.values()):
            if method != "any":
                owners[path].add(name)
    for name, own in events.items():
        routes = {key: read_route(event) for key, event in own.items()}
        for key, (path, method) in routes.items():
            if method == "any" and owners[path] - {name}:
                del own[key]


def read_route(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return path and method of a function's event; empty texts if it is no route."""
    properties = event["Properties"]
    return properties.get("Path", ""), properties.get("Method", "").lower()
