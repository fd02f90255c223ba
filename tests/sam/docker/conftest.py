"""An engine with the stand-in for Lambda's image, and `sam local` on the build and the cloud."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.state_folder import ROOT
from tests.e2e.cloud import RunningCloud, wait_until
from tests.sam.builds import KEPT, forward_connections
from tests.sam.engine import run_engine
from tests.sam.image import import_image
from tests.services import find_free_port

READY_S = 60.0
ANSWER_S = 90.0  # the first one of a function waits for its image


@dataclass(frozen=True)
class SamLocal:
    """The command line in a folder that has samconfig.toml and the cloud's state as a checkout has them."""

    folder: Path
    environment: dict[str, str]

    def build_command(self, *words: str) -> list[str]:
        """Return a whole command line; what it doesn't say, samconfig.toml does."""
        return [str(ROOT / ".venvs/sam/bin/sam"), "local", *words, "--skip-pull-image"]

    def invoke(self, function: str, event: Path) -> subprocess.CompletedProcess[str]:
        """Run `sam local invoke`."""
        command = self.build_command("invoke", function, "--event", str(event))
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )

    @contextmanager
    def serve(self, kind: str, log: Path) -> Iterator[httpx.Client]:
        """Run `sam local start-api` or `start-lambda` with containers that are kept; yield a client of it."""
        port = find_free_port()
        command = self.build_command(kind, "--port", str(port), "--warm-containers", "LAZY")
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=output, stderr=output)
        try:
            wait_until(lambda: b"Running on http://127.0.0.1" in log.read_bytes() or None, f"{kind} is ready", READY_S)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_S) as client:
                yield client
        finally:
            process.terminate()
            process.wait(READY_S)


def read_answer(output: str) -> Any:
    """Return the function's answer of what `sam local invoke` prints."""
    return json.loads(output.rstrip("\n").rpartition("\n")[2])  # not splitlines(): a page has characters that end lines


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an engine that has the image."""
    if KEPT not in os.environ:
        pytest.skip("an engine is started in namespaces of its own alone: make sam")
    folder = tmp_path_factory.mktemp("engine")
    with run_engine(folder) as address:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", address)
            import_image(folder / "root")
        yield address


@pytest.fixture(scope="session")
def sam(cloud: RunningCloud, engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamLocal]:
    """`sam local`, while its containers' connections are forwarded to the cloud."""
    state_folder = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "DOCKER_HOST": engine, "HOME": str(state_folder), "SAM_CLI_TELEMETRY": "0"}
    with forward_connections(cloud.folder, environment) as said:
        assert "forwarding connections to 127.0.0.1" in said
        folder = tmp_path_factory.mktemp("checkout")
        (folder / ".local").symlink_to(cloud.folder)
        (folder / "samconfig.toml").symlink_to(ROOT / "samconfig.toml")
        yield SamLocal(folder, environment)
