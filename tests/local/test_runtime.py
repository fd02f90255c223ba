"""Execution environments: real processes, broken for real."""

import concurrent.futures
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.events.service_logs import read_reports
from tests.local.gateways import (
    PYTHON,
    ROOT,
    GatewayReply,
    RunningGateway,
    make_function,
    make_route,
    make_stack,
    run_gateway,
    wait_until,
)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    """Yield a fresh gateway: no environment has been started yet."""
    names = ["echo", "noop", "crash", "leave", "talk"]
    functions = [make_function(name, environment={"COLOUR": "blue"}, layer_dirs=["/layers/one"]) for name in names]
    functions += [
        make_function("sleep", reserved_concurrency=3, timeout_s=60),
        make_function("slow", handler="sample.sleep", timeout_s=1),
    ]
    functions += [make_function("broken", handler="broken.handler")]
    description = make_stack(functions, [make_route("ANY", f"/{f.logical_id}", f.logical_id) for f in functions])
    with run_gateway(description, tmp_path) as running:
        yield running


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


def list_pids(gateway: RunningGateway, name: str) -> list[int]:
    """Return the pids of a function's environments."""
    return [environment["pid"] for environment in gateway.read_status(name)["environments"]]


def test_an_environment_sees_its_own_variables_and_none_of_ours(gateway: RunningGateway) -> None:
    """Whitelisted variables: the function's and Lambda's."""
    variables = gateway.invoke("echo").read_json()
    seen = json.loads(variables["body"])["variables"]
    assert seen["COLOUR"] == "blue"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "echo"
    assert seen["PYTHONPATH"].split(":")[1] == "/layers/one"
    assert not {"HOME", "USER", "VIRTUAL_ENV", "SSH_AUTH_SOCK"} & seen.keys()


def test_more_variables_win_over_those_deployed_and_lambdas_own_over_all(tmp_path: Path) -> None:
    """A function's own variable wins over one for all, in any order; a value may contain any character."""
    functions = [make_function(name, environment={"COLOUR": "blue", "KEPT": "yes"}) for name in ("one", "two")]
    functions = [replace(each, handler="sample.echo") for each in functions]
    more = ["one:COLOUR=red", "COLOUR=green", "URL=http://127.0.0.1:1/?a=b", "PATH=/elsewhere", "EMPTY="]
    with run_gateway(make_stack(functions, []), tmp_path, *(f"--variable={each}" for each in more)) as gateway:
        one, two = (json.loads(gateway.invoke(name).read_json()["body"])["variables"] for name in ("one", "two"))
    assert (one["COLOUR"], two["COLOUR"], one["KEPT"]) == ("red", "green", "yes")
    assert (one["URL"], one["EMPTY"]) == ("http://127.0.0.1:1/?a=b", "")
    assert one["PATH"] != "/elsewhere"


@pytest.mark.parametrize(
    ("variable", "status", "message"),
    [("none:A=1", 1, "gateway: there is no function none\n"), ("A", 2, "invalid"), ("1A=1", 2, "invalid")],
)
def test_a_variable_that_cannot_be_set_is_reported(tmp_path: Path, variable: str, status: int, message: str) -> None:
    """It is reported before anything is started."""
    make_stack([make_function("echo")], []).save(tmp_path / "stack.json")
    options = ["--stack", str(tmp_path / "stack.json"), "--port", "0", "--logs", str(tmp_path)]
    command = [PYTHON, "-m", "local.gateway", *options, "--variable", variable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr


def test_calls_one_after_another_share_one_environment(gateway: RunningGateway) -> None:
    """The most recently used environment is used again."""
    for _ in range(10):
        assert gateway.call("GET", "/api/noop").status == 200
    assert [e["invocations"] for e in gateway.read_status("noop")["environments"]] == [10]


def test_environments_grow_to_the_reserved_concurrency_and_no_further(gateway: RunningGateway) -> None:
    """Eight at once on a concurrency of three: three run, side by side, five are throttled."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: gateway.invoke("sleep"), range(8)))
    assert sorted(reply.status for reply in replies) == [200] * 3 + [429] * 5
    assert gateway.read_status("sleep")["in_flight"] == 0
    assert len(list_pids(gateway, "sleep")) <= 3
    assert {reply.headers.get("x-amzn-errortype") for reply in replies} == {None, "TooManyRequestsException"}


def test_running_invocations_are_listed_by_the_time_they_began(gateway: RunningGateway) -> None:
    """One that runs, and none when it has ended."""
    before = time.time()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.invoke, "sleep")
        running = wait_until(lambda: gateway.read_status("sleep")["running_since"])
        assert call.result().status == 200
    assert [before <= since <= time.time() for since in running] == [True]
    assert gateway.read_status("sleep")["running_since"] == []


def test_an_environment_killed_in_mid_call_is_a_502_at_once_and_replaced(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    """kill -9 while the handler sleeps: the caller does not wait for a timeout, the next call finds a new process."""
    note = tmp_path / "note"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.call, "GET", f"/api/sleep?seconds=8&note={note}")
        victim = int(wait_until(lambda: note.exists() and note.read_text().strip()))
        os.kill(victim, signal.SIGKILL)
        assert call.result(timeout=4).status == 502
    reply = gateway.call("GET", "/api/sleep?seconds=0")
    assert reply.status == 200
    assert reply.read_json()["pid"] != victim
    assert '"cause": "signal: 9"' in gateway.log("sleep")


def test_an_idle_environment_that_dies_is_forgotten(gateway: RunningGateway) -> None:
    """A call after its death is served by another."""
    gateway.call("GET", "/api/noop")
    [victim] = list_pids(gateway, "noop")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: list_pids(gateway, "noop") == [])
    assert gateway.call("GET", "/api/noop").status == 200


def test_an_exit_in_a_handler_is_an_error_at_once(gateway: RunningGateway) -> None:
    """os._exit looks like a crash, not like a timeout."""
    reply = gateway.invoke("leave")
    assert reply.headers["x-amz-function-error"] == "Unhandled"
    assert (reply.read_json()["errorType"], "exit status 3" in reply.read_json()["errorMessage"]) == (
        "Runtime.ExitError",
        True,
    )


def test_a_raise_is_reported_with_its_type_and_the_environment_lives_on(gateway: RunningGateway) -> None:
    """awslambdaric's own error document comes back; the process is used again."""
    first, second = gateway.invoke("crash"), gateway.invoke("crash")
    assert first.headers["x-amz-function-error"] == "Unhandled"
    assert first.read_json()["errorType"] == second.read_json()["errorType"] == "RuntimeError"
    assert len(list_pids(gateway, "crash")) == 1


def test_a_function_over_its_timeout_is_killed(gateway: RunningGateway) -> None:
    """The caller learns it at the timeout, and the process is gone."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.invoke, "slow", {"queryStringParameters": {"seconds": "60"}})
        [pid] = wait_until(lambda: [p for p in list_pids(gateway, "slow") if p])
        reply = call.result(timeout=15)
    assert (reply.read_json()["errorType"], reply.headers["x-amz-function-error"]) == ("Sandbox.Timedout", "Unhandled")
    wait_until(lambda: not is_alive(pid))


def test_a_handler_that_cannot_be_imported_fails_each_call_and_is_logged(gateway: RunningGateway) -> None:
    """The init error is the answer, and the log names the module."""
    for name in ("broken", "broken:1"):
        assert gateway.invoke(name).read_json()["errorType"] == "Runtime.ImportModuleError"
    assert "a_module_that_does_not_exist" in gateway.log("broken")
    assert list_pids(gateway, "broken") == []
    reports = list(read_reports(gateway.log("broken").encode()))
    assert [report.has_failed for report in reports] == [True, True], "the metrics count them as errors"
    assert [(report.version, report.qualifier) for report in reports] == [("1", "live"), ("1", "1")]


def test_the_log_has_whole_lines_and_one_report_per_invocation(gateway: RunningGateway) -> None:
    """It has what handlers print, line by line, and the duration of each call."""
    for _ in range(3):
        gateway.invoke("talk")
    wait_until(lambda: gateway.log("talk").count("two words") == 3)
    lines = gateway.log("talk").splitlines()
    assert lines.count("one line") == 3
    assert sum('"platform.report"' in line for line in lines) == 3


def test_a_report_says_what_the_caller_named(gateway: RunningGateway) -> None:
    """The alias, also without a word, or a version by its number; and the version that ran."""
    for name in ("noop", "noop:1"):
        assert gateway.invoke(name).status == 200
    wait_until(lambda: gateway.log("noop").count('"platform.report"') == 2)
    reports = read_reports(gateway.log("noop").encode())
    assert [(report.version, report.qualifier) for report in reports] == [("1", "live"), ("1", "1")]


def test_an_event_invocation_is_taken_before_it_runs(gateway: RunningGateway, tmp_path: Path) -> None:
    """202 at once; it runs all the same."""
    note = tmp_path / "note"
    payload = {"queryStringParameters": {"seconds": "0", "note": str(note)}}
    assert gateway.invoke("sleep", payload, X_Amz_Invocation_Type="Event").status == 202
    wait_until(note.exists)


def test_an_unknown_function_is_a_404(gateway: RunningGateway) -> None:
    """Lambda answers in the same words."""
    reply = gateway.invoke("nobody")
    assert (reply.status, reply.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_environment_outlives_the_gateway(gateway: RunningGateway, tmp_path: Path, how: signal.Signals) -> None:
    """Asked to stop, interrupted or killed: even one that is busy is gone, and an orderly stop exits with 0."""
    note = tmp_path / "note"
    payload = {"queryStringParameters": {"seconds": "60", "note": str(note)}}
    gateway.invoke("sleep", payload, X_Amz_Invocation_Type="Event")
    pid = int(wait_until(lambda: note.exists() and note.read_text().strip()))
    gateway.process.send_signal(how)
    assert gateway.process.wait(timeout=10) == (-9 if how == signal.SIGKILL else 0)
    wait_until(lambda: not is_alive(pid), deadline_s=5)


def test_a_stop_lets_a_call_under_way_end(gateway: RunningGateway, tmp_path: Path) -> None:
    """SIGTERM in mid-call: the caller still gets its answer."""
    note = tmp_path / "note"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.call, "GET", f"/api/sleep?seconds=1&note={note}")
        wait_until(note.exists)
        gateway.process.terminate()
        assert call.result(timeout=10).status == 200
    assert gateway.process.wait(timeout=10) == 0


def test_a_port_in_use_is_said_in_one_line(gateway: RunningGateway, tmp_path: Path) -> None:
    """A second gateway on the same port names the reason and exits with 1."""
    arguments = ["--stack", str(tmp_path / "stack.json"), "--port", str(gateway.port), "--logs", str(tmp_path / "l")]
    command = [PYTHON, "-m", "local.gateway", *arguments]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert "address already in use" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_request_to_stop_waits_for_a_short_call_and_ends_a_long_one(gateway: RunningGateway) -> None:
    """The long call would take five times as long as the stop may, also on a busy machine."""
    long_s = 30
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        short = pool.submit(gateway.invoke, "sleep", {"queryStringParameters": {"seconds": "0.7"}})
        wait_until(lambda: gateway.read_status("sleep")["in_flight"] == 1)
        long = pool.submit(gateway.invoke, "sleep", {"queryStringParameters": {"seconds": str(long_s)}})
        wait_until(lambda: gateway.read_status("sleep")["in_flight"] == 2)
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.process.wait(long_s) == 0
        assert time.monotonic() - began < long_s / 5
        assert short.result().status == 200
        assert has_failed(long)


def has_failed(call: concurrent.futures.Future[GatewayReply]) -> bool:
    """Return whether an invocation got no answer, a refusal of the gateway's, or the error of an ended environment."""
    if isinstance(call.exception(), (OSError, http.client.HTTPException)):
        return True
    reply = call.result()
    return reply.status >= 500 or "x-amz-function-error" in reply.headers
