"""A release as CodeDeploy makes one: the hook, a tenth of the calls, the alarms, and all calls or none.

CodeDeploy shifts each function by itself, and CloudFormation takes back the whole stack if one fails. Here they are
shifted together, and taken back together.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

import boto3

from local.release.alarms import ReleaseAlarms
from local.release.gateway_client import GatewayClient
from local.release.metrics import LogMetrics
from local.stack import DeploymentGroup, Stack

CONFIG = re.compile(r"CodeDeployDefault\.Lambda(?:AllAtOnce|Canary(?P<percent>\d+)Percent(?P<minutes>\d+)Minutes)")
POLL_S = 0.1
# The hook has no layer: Lambda's own Python brings the client of AWS, the local one does not.
AWS_CLIENT = str(Path(boto3.__file__).parents[1])

Outcome = Literal["promoted", "refused", "rolled back"]


@dataclass(frozen=True)
class NewCode:
    """The code of a new version: its folder, and the folders of its layer."""

    code_dir: str
    layer_dirs: list[str]


@dataclass(frozen=True)
class ReleaseResult:
    """The end of a release. Seconds count from the first call that it could get, None if there was none.

    `alarm` is the one that rang. From then on `calls_seen` of `calls_total` calls reached the new versions.
    """

    outcome: Outcome
    calls_seen: int = 0
    calls_total: int = 0
    alarm: str = ""
    noticed_after_s: float | None = None
    ended_after_s: float | None = None


class Release:
    """New versions of some functions of a running cloud.

    `minute_s` is how many seconds stand for a minute of the alarms and of the canary.
    """

    def __init__(
        self,
        stack: Stack,
        gateway: GatewayClient,
        metrics: LogMetrics,
        *,
        minute_s: float,
        report: Callable[[str], None],
    ) -> None:
        self._stack = stack
        self._gateway = gateway
        self._metrics = metrics
        self._minute_s = minute_s
        self._report = report
        self._groups: list[DeploymentGroup] = []
        self._before: dict[str, str] = {}
        self._new: dict[str, str] = {}
        self._counted_before = (0, 0)

    def run(self, code: Mapping[str, NewCode]) -> ReleaseResult:
        """Publish the code by function, and release it. Raise KeyError for a function without a deployment group."""
        groups = {group.function: group for group in self._stack.deployment_groups}
        self._groups = [groups[name] for name in code]
        self._before = self._gateway.read_live_versions()
        self._new = {
            name: self._gateway.publish(name, code_dir=each.code_dir, layer_dirs=each.layer_dirs)
            for name, each in code.items()
        }
        self._report("published " + ", ".join(f"{name} {version}" for name, version in self._new.items()))
        if not self._pass_hooks():
            return ReleaseResult("refused")
        self._counted_before = self._count_all_calls()  # among them those that the hook has made
        percent, canary_s = self._read_config()
        if percent and (rolled_back := self._watch_canary(percent / 100, canary_s)):
            return rolled_back
        self._shift(1.0)
        self._report("promoted: all calls reach the new versions")
        return ReleaseResult("promoted", *self._count_calls())

    def _pass_hooks(self) -> bool:
        """Return whether each hook let the release pass."""
        for hook in {group.hook for group in self._groups if group.hook}:
            status = self._gateway.run_hook(hook, self._publish_hook(hook), execution := str(uuid4()))
            self._report(f"{hook} says {status} ({execution})")
            if status != "Succeeded":
                return False
        return True

    def _publish_hook(self, hook: str) -> str:
        """Publish the hook with the new versions' numbers, as a deployment of the template does; return its version."""
        deployed = self._stack.find_function(hook)
        versions = {key: self._find_arn(arn) for key, arn in json.loads(deployed.environment["VERSIONS"]).items()}
        environment = {
            "VERSIONS": json.dumps(versions),
            "AWS_ENDPOINT_URL_LAMBDA": f"{self._gateway.front}/_local/lambda",
            "AWS_ENDPOINT_URL_CODEDEPLOY": f"{self._gateway.front}/_local/codedeploy",
        }
        return self._gateway.publish(hook, layer_dirs=[AWS_CLIENT], environment=environment)

    def _find_arn(self, arn: str) -> str:
        function_arn, _, _ = arn.rpartition(":")
        function = function_arn.rpartition(":")[2]
        return f"{function_arn}:{self._new.get(function, self._before[function])}"

    def _read_config(self) -> tuple[int, float]:
        """Return the percentage of a canary and its seconds; 0 for all at once. Raise ValueError for another one."""
        [name] = {group.config for group in self._groups}
        found = CONFIG.fullmatch(name)
        if found is None:
            raise ValueError(f"the local cloud does not know the deployment configuration {name}")
        return int(found["percent"] or 0), int(found["minutes"] or 0) * self._minute_s

    def _watch_canary(self, share: float, canary_s: float) -> ReleaseResult | None:
        """Give the new versions a share of the calls; return how they were rolled back, None if no alarm rang."""
        self._shift(share)
        began = time.monotonic()
        self._report(f"{share:.0%} of the calls reach the new versions for {canary_s:.0f} s")
        alarms = ReleaseAlarms(self._stack, self._groups, self._new, self._metrics, minute_s=self._minute_s)
        while time.monotonic() - began < canary_s:
            time.sleep(POLL_S)
            for name in alarms.list_ringing()[:1]:
                noticed = time.monotonic() - began
                self._shift(0.0)
                ended = time.monotonic() - began
                self._report(f"{name} rings after {noticed:.1f} s: rolled back after {ended:.1f} s")
                return ReleaseResult("rolled back", *self._count_calls(), name, noticed, ended)
        return None

    def _shift(self, share: float) -> None:
        """Let the new versions get a share of the calls, and those before the rest."""
        for name, version in self._new.items():
            weights = {version: share, self._before[name]: 1 - share}
            self._gateway.shift(name, {each: weight for each, weight in weights.items() if weight})

    def _count_calls(self) -> tuple[int, int]:
        """Return how many calls reached the new versions, and how many there were, since they could get any."""
        (seen, total), (seen_before, total_before) = self._count_all_calls(), self._counted_before
        return seen - seen_before, total - total_before

    def _count_all_calls(self) -> tuple[int, int]:
        self._metrics.read_new()
        seen = sum(self._metrics.count_calls(name, version) for name, version in self._new.items())
        rest = sum(self._metrics.count_calls(name, self._before[name]) for name in self._new)
        return seen, seen + rest
