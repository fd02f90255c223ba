"""The published versions of each function, and the alias that picks one of them for a call, by weight."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local.runtime.invocation import FunctionInvocation, InvocationOutcome, ThrottledError
from local.runtime.logs import FunctionLog
from local.runtime.pool import EnvironmentPool
from local.runtime.variables import RuntimePlatform
from local.stack import DeployedFunction

FIRST = "1"


class UnknownVersion(Exception):
    """The function has no such version."""


@dataclass(frozen=True)
class CodeReplacement:
    """The end of a replacement of a function's environments: whether it had any, and why the new code doesn't start."""

    was_running: bool
    failure: InvocationOutcome | None


class FunctionVersions:
    """The versions of one function, each with environments of its own; all share its reserved concurrency.

    `uniform` returns a number from 0 up to 1, which picks the version of a call.
    """

    def __init__(
        self,
        function: DeployedFunction,
        platform: RuntimePlatform,
        log: FunctionLog,
        *,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._platform = platform
        self._log = log
        self._uniform = uniform
        self._throttles = 0
        self._pools = {FIRST: EnvironmentPool(replace(function, version=FIRST), platform, log)}
        self._functions = {FIRST: function}
        self.weights: dict[str, float] = {FIRST: 1.0}

    @property
    def in_flight(self) -> int:
        """Return how many invocations are under way."""
        return sum(pool.in_flight for pool in self._pools.values())

    async def invoke(self, invocation: FunctionInvocation, *, version: str = "") -> InvocationOutcome:
        """Run an invocation in a version, or in one that the alias picks. Raise ThrottledError, UnknownVersion."""
        pool = self._find_pool(version or self.pick_version())
        if self.in_flight >= pool.limit:
            self._throttles += 1
            raise ThrottledError(self._functions[FIRST].logical_id)
        return await pool.invoke(replace(invocation, qualifier=version) if version else invocation)

    def pick_version(self) -> str:
        """Return the version for the next call of the alias."""
        drawn, versions = self._uniform(), list(self.weights)
        for version in versions[:-1]:
            if drawn < self.weights[version]:
                return version
            drawn -= self.weights[version]
        return versions[-1]

    def publish(self, *, code_dir: str, layer_dirs: list[str], environment: Mapping[str, str]) -> str:
        """Return the number of a new version with this code; `environment` is added to that of the version before."""
        version = str(len(self._pools) + 1)
        before = self._functions[str(len(self._pools))]
        function = replace(
            before,
            code_dir=code_dir or before.code_dir,
            layer_dirs=layer_dirs or before.layer_dirs,
            environment={**before.environment, **environment},
            version=version,
        )
        self._functions[version] = function
        self._pools[version] = EnvironmentPool(function, self._platform, self._log)
        return version

    def shift(self, weights: Mapping[str, float]) -> None:
        """Let the alias pick versions by these weights. Raise UnknownVersion; ValueError if they don't add up to 1."""
        for version in weights:
            self._find_pool(version)
        if abs(sum(weights.values()) - 1) > 1e-9:
            raise ValueError(f"the weights add up to {sum(weights.values())}")
        self.weights = dict(weights)

    def reserve(self, limit: int) -> None:
        """From now on let at most `limit` invocations of all versions run at the same time; with 0 none runs."""
        self._functions = {
            version: replace(function, reserved_concurrency=limit) for version, function in self._functions.items()
        }
        for pool in self._pools.values():
            pool.limit = limit

    async def replace_environments(self, files: Iterable[Path]) -> CodeReplacement | None:
        """Replace the environments of each version that can read one of the files; return None if none can."""
        pools = [pool for pool in self._pools.values() if any(map(pool.reads_file, files))]
        if not pools:
            return None
        was_running = any(pool.processes for pool in pools)
        failures = await asyncio.gather(*(pool.replace_environments() for pool in pools))
        return CodeReplacement(was_running, next(filter(None, failures), None))

    def close(self) -> None:
        """Kill every environment and start no more."""
        for pool in self._pools.values():
            pool.close()

    def read_status(self) -> dict[str, Any]:
        """Return counts and environments of all versions together, and the alias's weights, for `/_local/status`."""
        parts = [pool.read_status() for pool in self._pools.values()]
        return {
            "limit": parts[0]["limit"],
            "in_flight": self.in_flight,
            "running_since": [since for part in parts for since in part["running_since"]],
            "throttles": self._throttles + sum(part["throttles"] for part in parts),
            "recursions_dropped": sum(part["recursions_dropped"] for part in parts),
            "longest_chain": max(part["longest_chain"] for part in parts),
            "environments": [environment for part in parts for environment in part["environments"]],
            "weights": self.weights,
        }

    def _find_pool(self, version: str) -> EnvironmentPool:
        try:
            return self._pools[version]
        except KeyError:
            raise UnknownVersion(version) from None


class FunctionFleet:
    """The versions of all functions, by the function's logical id."""

    def __init__(
        self, functions: list[DeployedFunction], platform: RuntimePlatform, open_log: Callable[[str], FunctionLog]
    ) -> None:
        self.pools = {f.logical_id: FunctionVersions(f, platform, open_log(f.logical_id)) for f in functions}

    @property
    def in_flight(self) -> int:
        """Return how many invocations are under way."""
        return sum(pool.in_flight for pool in self.pools.values())

    async def replace_environments(self, files: list[Path]) -> dict[str, CodeReplacement]:
        """Replace the environments of the functions that can read one of the files; return how that ended."""
        ends = await asyncio.gather(*(function.replace_environments(files) for function in self.pools.values()))
        return {name: end for name, end in zip(self.pools, ends, strict=True) if end is not None}

    def close(self) -> None:
        """Kill every environment."""
        for pool in self.pools.values():
            pool.close()
