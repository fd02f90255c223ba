"""The proxy before the mail service forwards calls unchanged, counts mails, and fails calls on demand."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError
from yarl import URL

from stress.mail_proxy import ERROR, LOST, REFUSED, SEND, SILENT, THROTTLED, build_application, start_serving
from stress.processes import find_free_port
from tests.stress.servers import run_server

if TYPE_CHECKING:
    from mypy_boto3_sesv2.type_defs import ContentTypeDef

Post = Callable[..., Awaitable[tuple[int, Any, dict[str, str]]]]
ReceivedCalls = list[tuple[str, str, bytes, dict[str, str]]]


def run_with_proxy(scenario: Callable[[str, Post, ReceivedCalls], Awaitable[None]]) -> None:
    """Run a scenario with a proxy before a mail service.

    The scenario gets the proxy's origin, a function that calls it, and the calls that the service received.
    """
    received: ReceivedCalls = []

    async def answer_call(request: web.BaseRequest) -> web.StreamResponse:
        received.append((request.method, request.raw_path, await request.read(), dict(request.headers)))
        return web.json_response({"MessageId": f"id-{len(received)}"}, status=200, headers={"x-amzn-RequestId": "r"})

    async def run() -> None:
        runner = web.AppRunner(await build_application())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with run_server(answer_call) as service, aiohttp.ClientSession() as session:

                async def call(method: str, path: str, **given: Any) -> tuple[int, Any, dict[str, str]]:
                    async with session.request(method, URL(origin + path, encoded=True), **given) as reply:
                        return reply.status, await reply.json(), dict(reply.headers)

                await call("PUT", "/_control", json={"target": service})
                await scenario(origin, call, received)
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_calls_are_forwarded_unchanged() -> None:
    """The service gets method, path, query, body and headers; the caller gets the answer's status, body, headers."""

    async def run_scenario(_origin: str, call: Post, received: ReceivedCalls) -> None:
        sent = {
            "Authorization": "AWS4-HMAC-SHA256 Signature=0f",
            "X-Amz-Date": "20261102T000000Z",
            "User-Agent": "us",
        }
        given = {**sent, "Accept": "x/y", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        answer = await call("POST", f"{SEND}?a=%2Fb&c", data=b'{"\xc3\xab": 1}', headers=given)
        assert (answer[0], answer[1], answer[2]["x-amzn-RequestId"]) == (200, {"MessageId": "id-1"}, "r")
        method, path, body, headers = received[0]
        assert (method, path, body) == ("POST", f"{SEND}?a=%2Fb&c", b'{"\xc3\xab": 1}')
        headers.pop("Host")
        assert headers == {**given, "Content-Length": "9"}

    run_with_proxy(run_scenario)


def test_a_call_without_a_body_is_forwarded_without_body_and_content_type() -> None:
    """AWS checks the signature over the call as it was sent."""

    async def run_scenario(_origin: str, call: Post, received: ReceivedCalls) -> None:
        await call("GET", "/v2/email/account", headers={"X-Amz-Date": "20261102T000000Z"})
        assert received[0][:3] == ("GET", "/v2/email/account", b"")
        assert "Content-Type" not in received[0][3]

    run_with_proxy(run_scenario)


def make_mail(job: str) -> dict[str, Any]:
    """Return the body of a call that sends a job's mail."""
    return {"EmailTags": [{"Name": "template", "Value": "member-welcome"}, {"Name": "job", "Value": job}]}


def test_only_mails_are_recorded_each_with_its_job_and_its_time() -> None:
    """The call by which the health check reads the account is not recorded."""

    async def run_scenario(_origin: str, call: Post, _received: ReceivedCalls) -> None:
        before = time.time()
        for path, job in ((SEND, "a"), ("/v2/email/account", "b"), (SEND, "c")):
            await call("POST", path, json=make_mail(job))
        after = time.time()
        await call("POST", SEND, data=b"not JSON")
        state = (await call("PUT", "/_control", json={"since": before}))[1]
        assert (state["failure"], state["down"], state["sent"], state["failed"]) == ("", False, 3, 0)
        assert [(each["job"], each["sent"], each["failure"]) for each in state["calls"]] == [
            ("a", True, ""), ("c", True, ""), ("", True, "")
        ]  # fmt: skip
        first, second, third = state["calls"]
        assert before <= first["began"] <= first["ended"] <= second["began"] <= second["ended"] <= after
        assert (await call("PUT", "/_control", json={"since": third["began"]}))[1]["calls"] == [third]
        assert (await call("GET", "/_control"))[1]["calls"] == []

    run_with_proxy(run_scenario)


def test_while_the_service_is_down_every_call_is_refused() -> None:
    """Each mail is refused as SES refuses it, and recorded; other calls are refused but not recorded."""

    async def run_scenario(_origin: str, call: Post, received: ReceivedCalls) -> None:
        await call("PUT", "/_control", json={"down": True})
        refusals = [await call("POST", path, json=make_mail("a")) for path in (SEND, SEND, "/v2/email/account")]
        assert [(status, headers["x-amzn-ErrorType"]) for status, _, headers in refusals] == [
            (429, "TooManyRequestsException")
        ] * 3
        _, state, _ = await call("PUT", "/_control", json={"since": 0})
        assert (state["down"], state["sent"], state["failed"], received) == (True, 0, 2, [])
        assert [(each["failure"], each["sent"]) for each in state["calls"]] == [(THROTTLED, False)] * 2

    run_with_proxy(run_scenario)


def test_a_failure_that_there_is_not_is_refused() -> None:
    """A misspelt one would leave the service up."""

    async def run_scenario(_origin: str, call: Post, _received: ReceivedCalls) -> None:
        assert (await call("PUT", "/_control", json={"failure": "errors"}))[0] == 400
        assert (await call("GET", "/_control"))[1]["failure"] == ""

    run_with_proxy(run_scenario)


def send_mail(origin: str) -> str:
    """Send a mail with AWS's own client, which waits for a second and tries once; return the mail's id."""
    text: ContentTypeDef = {"Data": "Mirë se erdhët"}
    client = boto3.client(
        "sesv2",
        endpoint_url=origin,
        region_name="eu-central-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=1),
    )
    return client.send_email(
        FromEmailAddress="us@example.test",
        Destination={"ToAddresses": ["besa@example.test"]},
        Content={"Simple": {"Subject": text, "Body": {"Text": text}}},
    )["MessageId"]


@pytest.mark.parametrize(
    ("failure", "error", "is_sent"),
    [(SILENT, ReadTimeoutError, False), (LOST, ConnectionClosedError, True), (REFUSED, ConnectionClosedError, False)],
)
def test_a_call_without_an_answer_may_have_sent_the_mail(
    failure: str,
    error: type[BotoCoreError],
    is_sent: bool,
) -> None:
    """The client can't know which; a connection that was open when the port was closed is cut."""

    async def run_scenario(origin: str, call: Post, received: ReceivedCalls) -> None:
        await call("PUT", "/_control", json={"failure": failure})
        with pytest.raises(error):
            await asyncio.to_thread(send_mail, origin)
        assert len(received) == is_sent
        await asyncio.sleep(0.2)  # until the proxy has noticed that the client is gone
        [seen] = (await call("PUT", "/_control", json={"failure": "", "since": 0}))[1]["calls"]
        assert (seen["failure"], seen["sent"]) == (failure, is_sent)
        assert seen["ended"] - seen["began"] >= (0.9 if failure == SILENT else 0)
        assert await asyncio.to_thread(send_mail, origin)

    run_with_proxy(run_scenario)


def test_a_service_that_failed_says_nothing_of_the_mail() -> None:
    """The mail was not sent, but the error is one of those after which nobody knows."""

    async def run_scenario(origin: str, call: Post, received: ReceivedCalls) -> None:
        await call("PUT", "/_control", json={"failure": ERROR})
        with pytest.raises(ClientError) as failed:
            await asyncio.to_thread(send_mail, origin)
        assert failed.value.response["Error"]["Code"] == "InternalFailure"
        assert received == []

    run_with_proxy(run_scenario)


def test_a_refused_call_finds_no_port_and_the_control_answers_meanwhile() -> None:
    """Afterwards the same port takes calls again."""

    async def run() -> None:
        port, control = find_free_port(), find_free_port()
        runner = await start_serving(port, control)
        try:
            connector = aiohttp.TCPConnector(force_close=True)  # SES's client closes its connections too
            async with aiohttp.ClientSession(connector=connector) as session:

                async def change(failure: str) -> Any:
                    url = f"http://127.0.0.1:{control}/_control"
                    async with session.put(url, json={"failure": failure}) as reply:
                        return await reply.json()

                for _ in range(2):
                    assert (await change(REFUSED))["down"]
                    with pytest.raises(aiohttp.ClientConnectorError):
                        await session.post(f"http://127.0.0.1:{port}{SEND}", json={})
                    assert not (await change(""))["down"]
                    async with session.get(f"http://127.0.0.1:{port}/_control") as reply:
                        assert reply.status == 200
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_the_target_stays_when_the_service_comes_back() -> None:
    """A PUT changes only the settings that it names; a GET changes nothing."""

    async def run_scenario(_origin: str, call: Post, received: ReceivedCalls) -> None:
        await call("PUT", "/_control", json={"down": True})
        assert (await call("GET", "/_control"))[1]["down"]
        assert not (await call("PUT", "/_control", json={"down": False}))[1]["down"]
        assert (await call("POST", SEND, data=json.dumps({})))[0] == 200
        assert len(received) == 1

    run_with_proxy(run_scenario)


def test_aws_s_own_client_sees_a_throttled_service() -> None:
    """The client sends its mail once the service is back."""

    async def run_scenario(origin: str, call: Post, received: ReceivedCalls) -> None:
        await call("PUT", "/_control", json={"down": True})
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(send_mail, origin)
        assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
        await call("PUT", "/_control", json={"down": False})
        assert await asyncio.to_thread(send_mail, origin) == "id-1"
        assert json.loads(received[0][2])["Content"]["Simple"]["Subject"]["Data"] == "Mirë se erdhët"

    run_with_proxy(run_scenario)
