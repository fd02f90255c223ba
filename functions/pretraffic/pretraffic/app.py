"""The handler of CodeDeploy's hook `BeforeAllowTraffic`: a release gets traffic only if all its new versions pass.

It has neither the layer nor a way into the network: a release whose layer or network is broken is checked as well, and
CodeDeploy is reached without an endpoint of its own.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from random import Random, SystemRandom
from threading import Thread
from typing import Any, Protocol

import boto3
from botocore.config import Config

from pretraffic import report, versions
from pretraffic.checks import build_checks, draw_caller
from pretraffic.logs import log_failure
from pretraffic.report import REPORT_S, HookRun, Status, report_status
from pretraffic.versions import VersionChecker


class Context(Protocol):
    """The part of Lambda's context that is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""


class CheckTimedOut(Exception):
    """The check did not end before the time for the report began."""


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Check the new versions, and report to CodeDeploy whether they may get traffic: `Failed` whatever goes wrong.

    Raise KeyError for an event that names no run, and what boto3 raises if the report does not succeed. Then nothing is
    reported, and the alarm on this function's errors ends the deployment.
    """
    run = HookRun.from_event(event)
    random = SystemRandom()

    def measure_time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000 - REPORT_S

    status: Status = "Failed"
    try:
        if run_within(measure_time_left(), lambda: check_versions(os.environ, random, measure_time_left)):
            status = "Succeeded"
    except Exception as error:  # noqa: BLE001 - whatever it is: CodeDeploy waits for an hour for what is not reported
        log_failure("check_failed", error)
    report_status(make_codedeploy, run, status, random=random, sleep=time.sleep)


def check_versions(environ: Mapping[str, str], random: Random, measure_time_left: Callable[[], float]) -> bool:
    """Return whether the versions that the environment names all pass. Raise KeyError, ValueError, BotoCoreError."""
    checker = VersionChecker(make_lambda(), random, time.sleep, measure_time_left)
    checks = build_checks(environ["USER_POOL_CLIENT_ID"], draw_caller(random))
    return checker.check_release(json.loads(environ["VERSIONS"]), checks)


def run_within(limit_s: float, check: Callable[[], bool]) -> bool:
    """Return what a check returns. Raise what it raises, and CheckTimedOut if it does not end in `limit_s` seconds.

    It runs in a thread, which is left behind if it hangs: no timeout of a client's covers the resolution of names.
    """
    results: list[bool | BaseException] = []

    def keep_result() -> None:
        try:
            results.append(check())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            results.append(error)

    thread = Thread(target=keep_result, daemon=True)
    thread.start()
    thread.join(max(0.0, limit_s))
    if not results:
        raise CheckTimedOut
    result = results[0]
    if isinstance(result, BaseException):
        raise result
    return result


def make_lambda() -> versions.Lambda:
    """Return the client that invokes versions."""
    return boto3.client("lambda", config=make_config(versions.CONNECT_S, versions.READ_S))


def make_codedeploy() -> report.CodeDeploy:
    """Return the client that reports."""
    client: report.CodeDeploy = boto3.client("codedeploy", config=make_config(report.CONNECT_S, report.READ_S))
    return client


def make_config(connect_s: float, read_s: float) -> Config:
    """Return a client's settings: it repeats nothing by itself, so that the time that a call takes is known."""
    return Config(connect_timeout=connect_s, read_timeout=read_s, retries={"total_max_attempts": 1, "mode": "standard"})
