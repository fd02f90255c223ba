"""The predecessor in miniature as a process, on a test's database and beside a server that stands for AWS."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.databases import FreshDatabase
from tests.services import ROOT, find_free_port

ISSUER, CLIENT_ID, SENDER = "https://pool.example.test", "before-tests", "before@interdomestik.test"
KEY_ID = "key-1"
READY_S = 20.0


class PredecessorsAws:
    """A server that publishes the key of its tokens and takes mails; while `is_down` it takes none."""

    def __init__(self) -> None:
        self.is_down = False
        self.mails: list[dict[str, Any]] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = {**RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True), "kid": KEY_ID, "alg": "RS256"}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._build_handler(json.dumps({"keys": [public]})))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def sign_token(self, sub: str, **changes: Any) -> str:
        """Return an access token, valid unless a claim is changed."""
        now = int(time.time())
        claims = {"sub": sub, "iss": ISSUER, "client_id": CLIENT_ID, "token_use": "access", "iat": now, "exp": now + 60}
        return jwt.encode({**claims, **changes}, self._key, algorithm="RS256", headers={"kid": KEY_ID})

    def _build_handler(self, key_set: str) -> type[BaseHTTPRequestHandler]:
        fake = self

        class AwsHandler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, key_set)

            def do_POST(self) -> None:
                mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if fake.is_down:
                    self._answer(429, "{}")
                else:
                    fake.mails.append(mail)
                    self._answer(200, json.dumps({"MessageId": f"mail-{len(fake.mails)}"}))

            def _answer(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return AwsHandler


@dataclass
class BeforeProcess:
    """The running predecessor."""

    api: str
    aws: PredecessorsAws
    database: FreshDatabase
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=40))

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> httpx.Response:
        """Make one call."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.request(method, self.api + path, json=body, headers=headers)


@contextmanager
def run_before(database: FreshDatabase) -> Iterator[BeforeProcess]:
    """Run the predecessor within the block."""
    aws, port = PredecessorsAws(), find_free_port()
    threading.Thread(target=aws.server.serve_forever, daemon=True).start()
    options = {
        "port": port,
        "database": database.postgres.build_conninfo(user="interdomestik_app", dbname=database.name),
        "mail-endpoint": aws.url,
        "sender": SENDER,
        "jwks-url": f"{aws.url}/jwks.json",
        "issuer": ISSUER,
        "client-id": CLIENT_ID,
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    process = subprocess.Popen([sys.executable, "-m", "stress.before", *arguments], cwd=ROOT)
    before = BeforeProcess(f"http://127.0.0.1:{port}/api", aws, database)
    try:
        _wait_until_ready(before, process)
        yield before
    finally:
        before.client.close()
        process.terminate()
        process.wait(20)
        aws.server.shutdown()
        aws.server.server_close()


def _wait_until_ready(before: BeforeProcess, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < until:
        try:
            if before.call("GET", "/nowhere").status_code == 404:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError("the predecessor did not start")
