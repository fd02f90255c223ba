"""Servers of the harness, as processes of their own."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.services import ROOT, find_free_port

READY_S = 20.0


@contextmanager
def run_mail_proxy(target: str) -> Iterator[tuple[int, int]]:
    """Run the mail proxy before a mail service within the block; yield its port, and that of its control."""
    port, control = find_free_port(), find_free_port()
    command = [sys.executable, "-m", "stress.mail_proxy", "--port", str(port), "--control-port", str(control)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _set_target(control, target, process)
        yield port, control
    finally:
        process.terminate()
        process.wait(20)


def _set_target(control: int, target: str, process: subprocess.Popen[bytes]) -> None:
    body, until = json.dumps({"target": target}).encode(), time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < until:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{control}/_control", body, method="PUT")
            urllib.request.urlopen(request, timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the mail proxy did not start")
