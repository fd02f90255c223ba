"""`python -m stress.mail_proxy`: a proxy before the mail service that records calls and can fail them.

    PUT /_control {"target": "http://127.0.0.1:…", "failure": "error", "since": 1795000000.0}    all optional
    GET /_control -> {"failure": "error", "down": true, "sent": 12, "failed": 3, "calls": [MailCall, …]}

`{"down": true}` is short for the failure "throttled", `{"down": false}` for none. `calls` are those that began at
`since` (epoch seconds) or later, none without it. The failures of a call:

    throttled   the answer of an SES that takes none for now: 429; nothing was sent, and the caller knows that
    error       the answer of an SES that failed meanwhile: 500; nothing was sent, and the caller can't know that
    silent      the call is taken and never answered; nothing was sent, and the caller can't know that
    lost        the mail is sent, and the connection ends before the answer; the caller can't know that
    refused     nobody listens on the port

Other calls (the health check asks for the account) fail in the same way, but are not recorded. The control has a port
of its own, so that it answers while the other is closed.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from aiohttp import ClientSession, web
from yarl import URL

SEND = "/v2/email/outbound-emails"
NONE, THROTTLED, ERROR, SILENT, LOST, REFUSED = "", "throttled", "error", "silent", "lost", "refused"
FAILURES = (NONE, THROTTLED, ERROR, SILENT, LOST, REFUSED)
# Status, message and SES's name of the error.
ANSWERS = {
    THROTTLED: (429, "Sending is not possible at this time.", "TooManyRequestsException"),
    ERROR: (500, "The service failed.", "InternalFailure"),
}
HOP_BY_HOP = {"connection", "content-length", "host", "transfer-encoding", "keep-alive"}
OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # not added by aiohttp
SILENT_S = 120.0  # longer than any client waits
LISTEN_AGAIN_S = 5.0  # another program may hold the port for a moment


@dataclass
class MailCall:
    """One call to send a mail: its job, its time in epoch seconds, how it failed ("" if not), and if it was sent."""

    job: str
    began: float
    failure: str
    sent: bool = False
    ended: float | None = None


class MailPort:
    """The port of the mail service, which can be closed and opened again."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self._port = port
        self._site: web.TCPSite | None = None

    async def close(self) -> None:
        """Refuse connections from now on."""
        if self._site is not None:
            await self._site.stop()
            self._site = None

    async def open(self) -> None:
        """Take connections. Raise OSError if another program holds the port."""
        until = time.monotonic() + LISTEN_AGAIN_S
        while self._site is None:
            site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
            try:
                await site.start()
                self._site = site
            except OSError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05)


@dataclass
class MailProxy:
    """The proxy's target, the failure of all calls at present, and the calls so far."""

    target: str = ""
    failure: str = NONE
    calls: list[MailCall] = field(default_factory=list)
    port: MailPort | None = None  # without one, calls that should be refused are cut

    async def handle_control(self, request: web.Request) -> web.Response:
        """Change the settings on PUT; return the present ones and the calls."""
        changes = await request.json() if request.method == "PUT" else {}
        self.target = str(changes.get("target", self.target))
        if "down" in changes:
            changes["failure"] = THROTTLED if changes["down"] else NONE
        if (failure := changes.get("failure", self.failure)) not in FAILURES:
            return web.json_response({"message": f"no such failure: {failure}"}, status=400)
        if failure != self.failure:
            await self._change_failure(failure)
        return web.json_response(self._describe(float(changes.get("since", "inf"))))

    def _describe(self, since: float) -> dict[str, object]:
        return {
            "failure": self.failure,
            "down": bool(self.failure),
            "sent": sum(call.sent for call in self.calls),
            "failed": sum(bool(call.failure) for call in self.calls),
            "calls": [asdict(call) for call in self.calls if call.began >= since],
        }

    async def _change_failure(self, failure: str) -> None:
        self.failure = failure
        if self.port is not None:
            await (self.port.close() if failure == REFUSED else self.port.open())

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Forward a call, or fail it."""
        began, failure, body = time.time(), self.failure, await request.read()
        if request.path != SEND:
            return await self._answer(request, body, failure, MailCall("", began, failure))
        call = MailCall(read_job(body), began, failure)
        self.calls.append(call)
        try:
            return await self._answer(request, body, failure, call)
        finally:
            call.ended = time.time()

    async def _answer(self, request: web.Request, body: bytes, failure: str, call: MailCall) -> web.StreamResponse:
        if failure in ANSWERS:
            status, message, error = ANSWERS[failure]
            return web.json_response({"message": message}, status=status, headers={"x-amzn-ErrorType": error})
        if failure == SILENT:
            await _wait_until_given_up(request)
        if failure not in (SILENT, REFUSED):
            call.sent = True
            answer = await self._pass_on(request, body)
        if failure in (SILENT, REFUSED, LOST):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)  # nobody gets it
        return answer

    async def _pass_on(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = URL(self.target + request.raw_path, encoded=True)
        async with request.app[SESSION].request(
            request.method,
            url,
            data=body or None,
            headers=headers,
            skip_auto_headers=OWN_HEADERS,
            allow_redirects=False,
        ) as reply:
            answered = {k: v for k, v in reply.headers.items() if k.lower() not in HOP_BY_HOP | {"content-encoding"}}
            return web.Response(status=reply.status, body=await reply.read(), headers=answered)


async def _wait_until_given_up(request: web.Request) -> None:
    """Wait until the client has closed its connection."""
    until = time.monotonic() + SILENT_S
    while time.monotonic() < until and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.05)


def read_job(body: bytes) -> str:
    """Return the id of the job that a mail is sent for, which its tags name; "" if they name none."""
    try:
        tags = json.loads(body).get("EmailTags", ())
        return next((str(tag["Value"]) for tag in tags if tag.get("Name") == "job"), "")
    except (ValueError, AttributeError, KeyError):
        return ""


SESSION: web.AppKey[ClientSession] = web.AppKey("session", ClientSession)


async def build_application(proxy: MailProxy | None = None) -> web.Application:
    """Return the server's application, which serves both ports."""
    proxy, app = proxy or MailProxy(), web.Application(client_max_size=20 * 1024 * 1024)
    app[SESSION] = ClientSession()
    app.router.add_route("*", "/_control", proxy.handle_control)
    app.router.add_route("*", "/{anything:.*}", proxy.forward)
    app.on_cleanup.append(_close_session)
    return app


async def _close_session(app: web.Application) -> None:
    await app[SESSION].close()


async def start_serving(port: int, control_port: int) -> web.AppRunner:
    """Serve on both ports; return the runner, whose cleanup ends it."""
    proxy = MailProxy()
    runner = web.AppRunner(await build_application(proxy), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    proxy.port = MailPort(runner, port)
    await proxy.port.open()
    await web.TCPSite(runner, "127.0.0.1", control_port).start()
    return runner


async def _serve_forever(port: int, control_port: int) -> None:
    runner = await start_serving(port, control_port)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m stress.mail_proxy", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port of the mail service on 127.0.0.1")
    parser.add_argument("--control-port", type=int, required=True, help="port of the control on 127.0.0.1")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_forever(options.port, options.control_port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
