"""The calls of a release's new versions, as often as each needs and the time allows."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from pretraffic.checks import Check
from pretraffic.logs import describe_error, log_event, read_code

ATTEMPTS = 3  # a version that was published a moment ago may not be ready yet
PAUSE_S = 5.0
CONNECT_S = 3.0
READ_S = 30.0  # longer than a function of the API may take (28 s); a new version's environment begins within it
CALL_S = CONNECT_S + READ_S  # the longest that one call takes
# Lambda has no execution free, or no network interface yet: the version itself has not been called. Seven deployments
# of a release run this hook at once, and a new account has ten executions for all of its functions.
THROTTLED = frozenset({"TooManyRequestsException", "EC2ThrottledException"})
# The limits of the full jitter between throttled calls: of the first wait, doubled from wait to wait, and of any.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 15.0


class Lambda(Protocol):
    """The one method that is used of boto3's client `lambda`."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        """Invoke a version and wait for its answer. Raise ClientError, BotoCoreError."""


class Throttled(Exception):
    """Lambda did not call the version, since it has nothing free for it now."""


@dataclass(frozen=True, slots=True)
class VersionChecker:
    """The check of versions. `measure_time_left` returns the seconds until all of it has to be over."""

    client: Lambda
    random: Random
    sleep: Callable[[float], None]
    measure_time_left: Callable[[], float]

    def check_release(self, versions: Mapping[str, str], checks: Mapping[str, Check]) -> bool:
        """Return whether every version passes; the first that does not is the last that is called.

        `versions` are the new versions' ARNs by function. Raise KeyError if one of them is missing.
        """
        return all(self._check_version(name, versions[name], check) for name, check in checks.items())

    def find_fault(self, version: str, check: Check) -> str:
        """Return what is wrong with a version's answer after the last attempt; empty if it passed.

        A throttled call is no attempt: it is repeated for as long as there is time.
        """
        fault, failures, throttles, pause_s = "not called", 0, 0, 0.0
        while self._has_time_for_call(after_s=pause_s):
            self.sleep(pause_s)
            try:
                fault = self._try_version(version, check)
            except Throttled as error:
                fault, throttles = str(error), throttles + 1
                pause_s = self._draw_wait(throttles)
                continue
            failures, pause_s = failures + 1, PAUSE_S
            if not fault or failures == ATTEMPTS:
                return fault
        return f"no time left: {fault}"

    def _check_version(self, name: str, version: str, check: Check) -> bool:
        fault = self.find_fault(version, check)
        facts = {"function": name, "version": version.rpartition(":")[2]}
        if fault:
            log_event(logging.ERROR, "version_refused", **facts, fault=fault)
        else:
            log_event(logging.INFO, "version_passed", **facts)
        return not fault

    def _has_time_for_call(self, *, after_s: float) -> bool:
        return self.measure_time_left() - after_s >= CALL_S

    def _draw_wait(self, throttles: int) -> float:
        """Return the seconds to wait after a number of throttled calls of a version, with full jitter."""
        return self.random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (throttles - 1)))

    def _try_version(self, version: str, check: Check) -> str:
        """Return what is wrong with a version's answer to its event; empty if it is as it must be. Raise Throttled."""
        try:
            result = self.client.invoke(FunctionName=version, Payload=json.dumps(check.event).encode())
            answer = json.loads(result["Payload"].read())
        except (ClientError, BotoCoreError) as error:
            fault = f"could not be invoked: {describe_error(error)}"
            if read_code(error) in THROTTLED:
                raise Throttled(fault) from error
            return fault
        except ValueError:
            return "answered no JSON"
        if "FunctionError" in result or not isinstance(answer, dict):
            return f"raised {answer.get('errorType', '?') if isinstance(answer, dict) else type(answer).__name__}"
        return check.find_fault(answer)
