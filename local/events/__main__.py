"""`python -m local.events`: the stack's queues, schedules and metrics, in threads of one process beside the gateway.

It is a separate process so that botocore's work does not slow the gateway's event loop.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import FrameType

import boto3
from botocore.config import Config

from local.deploy import STACK_NAME
from local.events.cloudwatch import CloudWatch
from local.events.invoke import FunctionInvoker
from local.events.metric_publisher import MetricPublisher
from local.events.queue_poller import LONG_POLL_S, QueuePoller
from local.events.schedules import FILE, read_schedule_state, run_schedule
from local.events.service_metrics import ServiceMetricsPublisher
from local.stack import Stack

REGION = "eu-central-1"
DRAIN_S = 1.0  # how long running batches may go on after a request to stop, all together


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.events", description=__doc__)
    parser.add_argument("--stack", type=Path, required=True, help="the deployed stack, as JSON")
    parser.add_argument("--invoke", required=True, help="the gateway's address")
    parser.add_argument("--logs", type=Path, required=True, help="folder of the functions' logs")
    parser.add_argument("--database-proxy", default="", help="address of the control port of the database's proxy")
    parser.add_argument("--minute", type=float, default=60.0, help="seconds that stand for a minute of AWS's metrics")
    return parser.parse_args()


def make_pollers(stack: Stack, invoke: FunctionInvoker, region: str, stop: threading.Event) -> list[QueuePoller]:
    """Return one poller for each queue source, all on one client."""
    config = Config(
        retries={"max_attempts": 0}, connect_timeout=2, read_timeout=LONG_POLL_S + 10, max_pool_connections=64
    )
    sqs = boto3.client(
        "sqs",
        endpoint_url=stack.endpoint_url,
        region_name=region,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - the emulator takes any
        config=config,
    )
    return [QueuePoller(source, sqs, invoke, region=region, stop=stop) for source in stack.queue_sources]


def main() -> int:
    """Run until SIGTERM or SIGINT, then wait for running batches."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    options = parse_arguments()
    stack = Stack.load(options.stack)
    region = os.environ.get("AWS_REGION", REGION)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    invoke = FunctionInvoker(options.invoke, {f.logical_id: f.timeout_s for f in stack.functions})
    logs = [options.logs / f"{function.logical_id}.log" for function in stack.functions]
    # made before anything is invoked, as it starts at the present ends of the logs
    cloudwatch = CloudWatch(stack.endpoint_url, region)
    publisher = MetricPublisher(logs, cloudwatch, stop)
    services = ServiceMetricsPublisher(
        stack, STACK_NAME, options.invoke, options.logs, cloudwatch, stop,
        database_proxy=options.database_proxy, minute_s=options.minute,
    )  # fmt: skip
    for run in (publisher.run, services.run):
        threading.Thread(target=run, daemon=True).start()
    polling = make_pollers(stack, invoke, region, stop)
    for poller in polling:
        threading.Thread(target=poller.run, daemon=True).start()
    for schedule in stack.schedules:
        look = partial(read_schedule_state, options.stack.with_name(FILE), schedule)
        run = partial(run_schedule, schedule, invoke, region=region, stop=stop, look=look)
        threading.Thread(target=run, daemon=True).start()
    stop.wait()
    deadline = time.monotonic() + DRAIN_S
    for poller in polling:
        poller.drain(max(0.0, deadline - time.monotonic()))
    os._exit(0)  # running long polls would keep the interpreter alive for up to 20 s


if __name__ == "__main__":
    sys.exit(main())
