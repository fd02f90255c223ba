"""A client of the gateway's routes for releases."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

HOOK_S = 320.0  # the hook's own timeout, and a little


class GatewayClient:
    """The client of the gateway at `front`."""

    def __init__(self, front: str) -> None:
        self.front = front

    def publish(
        self,
        function: str,
        *,
        code_dir: str = "",
        layer_dirs: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Publish a version; return its number. What is left out is as in the version before. Raise OSError."""
        document = {"code_dir": code_dir, "layer_dirs": layer_dirs or [], "environment": environment or {}}
        return str(self._call("POST", f"/_local/functions/{function}/versions", document)["Version"])

    def shift(self, function: str, weights: Mapping[str, float]) -> None:
        """Let a function's alias pick versions by these weights. Raise OSError."""
        self._call("PUT", f"/_local/functions/{function}/alias", {"weights": weights})

    def read_live_versions(self) -> dict[str, str]:
        """Return the version that most calls of each function reach. Raise OSError."""
        functions = self._call("GET", "/_local/status")["functions"]
        return {name: max(status["weights"], key=status["weights"].get) for name, status in functions.items()}

    def run_hook(self, function: str, version: str, execution: str) -> str:
        """Invoke a version of a hook as CodeDeploy does; return the status that it reported. Raise OSError."""
        event = {"DeploymentId": "d-LOCAL", "LifecycleEventHookExecutionId": execution}
        self._call("POST", f"/2015-03-31/functions/{function}:{version}/invocations", event, timeout_s=HOOK_S)
        return str(self._call("GET", f"/_local/codedeploy/{execution}")["status"])

    def _call(self, method: str, path: str, document: object = None, *, timeout_s: float = 30.0) -> Any:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(  # noqa: S310 - our own gateway
            self.front + path, data=body, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return json.load(answer)
