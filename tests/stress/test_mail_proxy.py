"""What stands between the functions and the mail service: it passes on unchanged, counts, and can fail."""

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
Heard = list[tuple[str, str, bytes, dict[str, str]]]


def on_line(scenario: Callable[[str, Post, Heard], Awaitable[None]]) -> None:
    """Run a scenario against a line with a mail service behind it: its origin, a way to call it, what was heard."""
    heard: Heard = []

    async def service(request: web.BaseRequest) -> web.StreamResponse:
        heard.append((request.method, request.raw_path, await request.read(), dict(request.headers)))
        return web.json_response({"MessageId": f"id-{len(heard)}"}, status=200, headers={"x-amzn-RequestId": "r"})

    async def go() -> None:
        runner = web.AppRunner(await build_application())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        line = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with run_server(service) as behind, aiohttp.ClientSession() as session:

                async def call(method: str, path: str, **given: Any) -> tuple[int, Any, dict[str, str]]:
                    async with session.request(method, URL(line + path, encoded=True), **given) as reply:
                        return reply.status, await reply.json(), dict(reply.headers)

                await call("PUT", "/_line", json={"target": behind})
                await scenario(line, call, heard)
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(go(), 60))


def test_calls_go_through_unchanged() -> None:
    """Method, path, query, body and headers; the answer's status, body and headers on the way back."""

    async def scenario(_line: str, call: Post, heard: Heard) -> None:
        sent = {
            "Authorization": "AWS4-HMAC-SHA256 Signature=0f",
            "X-Amz-Date": "20261102T000000Z",
            "User-Agent": "us",
        }
        given = {**sent, "Accept": "x/y", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        answer = await call("POST", f"{SEND}?a=%2Fb&c", data=b'{"\xc3\xab": 1}', headers=given)
        assert (answer[0], answer[1], answer[2]["x-amzn-RequestId"]) == (200, {"MessageId": "id-1"}, "r")
        method, path, body, headers = heard[0]
        assert (method, path, body) == ("POST", f"{SEND}?a=%2Fb&c", b'{"\xc3\xab": 1}')
        headers.pop("Host")
        assert headers == {**given, "Content-Length": "9"}

    on_line(scenario)


def test_a_call_without_a_body_gets_none_and_no_type_of_one() -> None:
    """A signature is over what was sent."""

    async def scenario(_line: str, call: Post, heard: Heard) -> None:
        await call("GET", "/v2/email/account", headers={"X-Amz-Date": "20261102T000000Z"})
        assert heard[0][:3] == ("GET", "/v2/email/account", b"")
        assert "Content-Type" not in heard[0][3]

    on_line(scenario)


def test_only_sent_mails_are_counted() -> None:
    """Not the health check's look at the account."""

    async def scenario(_line: str, call: Post, _heard: Heard) -> None:
        for path in (SEND, "/v2/email/account", SEND):
            await call("POST", path, json={})
        said = (await call("GET", "/_line"))[1]
        assert (said["down"], said["sent"], len(said["sent_at"]), said["refused"]) == (False, 2, 2, 0)

    on_line(scenario)


def test_while_it_is_down_nothing_gets_through() -> None:
    """Each mail is refused as SES does, counted with its moment; whatever else is refused, too, and not counted."""

    async def scenario(_line: str, call: Post, heard: Heard) -> None:
        before = time.time()
        await call("PUT", "/_line", json={"down": True})
        refusals = [await call("POST", path, json={}) for path in (SEND, SEND, "/v2/email/account")]
        assert [(status, headers["x-amzn-ErrorType"]) for status, _, headers in refusals] == [
            (429, "TooManyRequestsException")
        ] * 3
        _, said, _ = await call("GET", "/_line")
        assert (said["down"], said["sent"], said["refused"], heard) == (True, 0, 2, [])
        first, second = said["refused_at"]
        assert before <= first <= second <= time.time()

    on_line(scenario)


def test_it_comes_back_and_what_it_leads_to_stays() -> None:
    """A change names only what changes; a look changes nothing."""

    async def scenario(_line: str, call: Post, heard: Heard) -> None:
        await call("PUT", "/_line", json={"down": True})
        assert (await call("GET", "/_line"))[1]["down"]
        assert not (await call("PUT", "/_line", json={"down": False}))[1]["down"]
        assert (await call("POST", SEND, data=json.dumps({})))[0] == 200
        assert len(heard) == 1

    on_line(scenario)


def test_aws_s_own_client_sees_a_throttled_service() -> None:
    """And a mail that is sent, once it is back."""

    async def scenario(line: str, call: Post, heard: Heard) -> None:
        text: ContentTypeDef = {"Data": "Mirë se erdhët"}
        client = boto3.client(
            "sesv2",
            endpoint_url=line,
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

        await call("PUT", "/_line", json={"down": True})
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(send)
        assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
        await call("PUT", "/_line", json={"down": False})
        assert await asyncio.to_thread(send) == "id-1"
        assert json.loads(heard[0][2])["Content"]["Simple"]["Subject"]["Data"] == "Mirë se erdhët"

    on_line(scenario)
