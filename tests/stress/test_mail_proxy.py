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
from botocore.exceptions import ClientError
from yarl import URL

from stress.mail_proxy import SEND, build_application
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


def test_only_sent_mails_are_counted() -> None:
    """The call by which the health check reads the account is not counted."""

    async def run_scenario(_origin: str, call: Post, _received: ReceivedCalls) -> None:
        for path in (SEND, "/v2/email/account", SEND):
            await call("POST", path, json={})
        state = (await call("GET", "/_control"))[1]
        assert (state["down"], state["sent"], len(state["sent_at"]), state["refused"]) == (False, 2, 2, 0)

    run_with_proxy(run_scenario)


def test_while_the_service_is_down_every_call_is_refused() -> None:
    """Each mail is refused as SES refuses it, and counted with its time; other calls are refused but not counted."""

    async def run_scenario(_origin: str, call: Post, received: ReceivedCalls) -> None:
        before = time.time()
        await call("PUT", "/_control", json={"down": True})
        refusals = [await call("POST", path, json={}) for path in (SEND, SEND, "/v2/email/account")]
        assert [(status, headers["x-amzn-ErrorType"]) for status, _, headers in refusals] == [
            (429, "TooManyRequestsException")
        ] * 3
        _, state, _ = await call("GET", "/_control")
        assert (state["down"], state["sent"], state["refused"], received) == (True, 0, 2, [])
        first, second = state["refused_at"]
        assert before <= first <= second <= time.time()

    run_with_proxy(run_scenario)


def test_a_slow_service_takes_longer_for_each_mail_and_for_nothing_else() -> None:
    """The mail arrives all the same."""

    async def run_scenario(_origin: str, call: Post, received: ReceivedCalls) -> None:
        await call("PUT", "/_control", json={"delay_s": 0.2})
        took_s = []
        for path in (SEND, "/v2/email/account"):
            began = time.perf_counter()
            await call("POST", path, json={})
            took_s.append(time.perf_counter() - began)
        assert took_s[0] >= 0.2 > took_s[1]
        assert len(received) == 2

    run_with_proxy(run_scenario)


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
        text: ContentTypeDef = {"Data": "Mirë se erdhët"}
        client = boto3.client(
            "sesv2",
            endpoint_url=origin,
            region_name="eu-central-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"total_max_attempts": 1}),
        )

        def send() -> str:
            return client.send_email(
                FromEmailAddress="us@example.test",
                Destination={"ToAddresses": ["besa@example.test"]},
                Content={"Simple": {"Subject": text, "Body": {"Text": text}}},
            )["MessageId"]

        await call("PUT", "/_control", json={"down": True})
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(send)
        assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
        await call("PUT", "/_control", json={"down": False})
        assert await asyncio.to_thread(send) == "id-1"
        assert json.loads(received[0][2])["Content"]["Simple"]["Subject"]["Data"] == "Mirë se erdhët"

    run_with_proxy(run_scenario)
