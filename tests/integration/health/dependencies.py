"""All dependencies of the service as real servers, with ways to break them."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import boto3
import pytest

from health.app import api
from health.container import HealthContainer
from shared.aws import clients
from shared.settings import Settings
from tests.api_client import ApiClient
from tests.contract.dynamodb_clients import make_table
from tests.databases import PostgresHandle
from tests.failover.servers import start_follower
from tests.roles import FUNCTIONS

REGION = "eu-central-1"
THROTTLED = b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too fast"}'


@contextmanager
def use_aws_at(url: str, **services: str) -> Iterator[None]:
    """Within the block AWS is at `url`, single services elsewhere: DYNAMODB="http://…"."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        for service, other in services.items():
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", other)
        _forget()
        yield
        _forget()


def _forget() -> None:
    clients.get_health_client.cache_clear()
    clients.get_dynamodb.cache_clear()


def make_resources() -> dict[str, str]:
    """Return a table, queue, bucket and pool of the test's own, as settings name them."""
    name = f"health-{uuid4().hex}"
    bucket = {"LocationConstraint": "eu-central-1"}
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=bucket)  # type: ignore[arg-type]
    return {
        "state_table": make_table(boto3.client("dynamodb")),
        "queue_high_url": boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"],
        "evidence_bucket": name,
        "user_pool_id": boto3.client("cognito-idp").create_user_pool(PoolName=name)["UserPool"]["Id"],
    }


def make_health_client(settings: Settings) -> ApiClient:
    """Return a caller of the health function in an environment that has just started."""
    return ApiClient(api, HealthContainer(settings.model_copy(update={"db_user": FUNCTIONS["HealthFunction"]})))


@contextmanager
def open_unresponsive_port() -> Iterator[str]:
    """Yield an address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class _ThrottlingHandler(BaseHTTPRequestHandler):
    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.headers["X-Amz-Target"].rpartition(".")[2])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(THROTTLED)))
        self.end_headers()
        self.wfile.write(THROTTLED)

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""


@contextmanager
def run_throttling_server() -> Iterator[tuple[str, list[str]]]:
    """Run a DynamoDB that throttles every call; yield its address and the operations it was asked for."""
    asked: list[str] = []
    handler = type("Throttling", (_ThrottlingHandler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@contextmanager
def stop_server(postgres: PostgresHandle) -> Iterator[None]:
    """Within the block the server is there and does nothing: connections are accepted by the kernel alone.

    The sessions it has would go on without it, so the proxy's are closed.
    """
    pid = postgres.child.process.pid
    os.kill(pid, signal.SIGSTOP)
    postgres.proxy.refresh()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def start_standby(primary: PostgresHandle, folder: Path) -> Iterator[PostgresHandle]:
    """Yield a server that follows another."""
    follower = start_follower(primary, folder)
    try:
        yield follower
    finally:
        follower.child.stop()
