"""A mail leaves within three seconds after operators have let it go: the waits on its way, added up as deployed.

What is left of the three seconds is for the work itself, which tests/e2e/test_circuits.py sees done.
"""

from typing import Any

from operations.circuit_commands import MARGIN_S
from shared.settings import DEFAULT_CIRCUITS
from tests.settings.deployed import load_template

PROMISED_S = 3.0
FOR_THE_WORK_S = 1.5  # two invocations, three transactions and a mail; on an idle machine they take a third of it
ON_THE_WAY = ("NudgeQueue", "QueueHigh", "QueueNormal", "QueueLow")


def list_resources(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of the template's resources of a type, by name."""
    resources = load_template()["Resources"].items()
    return {name: found.get("Properties", {}) for name, found in resources if found["Type"] == kind}


def test_the_waits_on_a_released_mail_s_way_leave_time_for_the_work() -> None:
    """The command waits until all workers know the circuit; no queue delays a message, no batch waits to be filled."""
    queues = list_resources("AWS::SQS::Queue")
    mappings = list_resources("AWS::Lambda::EventSourceMapping").values()
    delays_s = [queues[name].get("DelaySeconds", 0) for name in ON_THE_WAY]
    windows_s = [mapping.get("MaximumBatchingWindowInSeconds", 0) for mapping in mappings]
    assert len(windows_s) == len(ON_THE_WAY)
    # The way leads over two queues: the one that wakes the relay, and the one of the mail's priority.
    in_queues_s = 2 * (max(delays_s) + max(windows_s))
    in_the_command_s = max(policy.refresh_s for policy in DEFAULT_CIRCUITS.values()) + MARGIN_S
    assert in_the_command_s + in_queues_s + FOR_THE_WORK_S <= PROMISED_S
