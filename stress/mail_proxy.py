"""`python -m stress.mail_proxy`: a proxy before the mail service that counts calls and can fail them.

    PUT /_control {"target": "http://127.0.0.1:…", "down": true, "delay_s": 0.2}    all optional
    GET /_control -> {"down": false, "delay_s": 0.0, "sent": 12, "sent_at": [epoch seconds, …], "refused": 3, …}

While it is down every SendEmail gets the answer of an SES that takes none for now: nothing was sent, and the caller
knows that. Other calls (the health check asks for the account) fail in the same way, but are not counted. `delay_s` is
how much longer each SendEmail takes while it is up.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import asdict, dataclass, field

from aiohttp import ClientSession, web
from yarl import URL

SEND = "/v2/email/outbound-emails"
REFUSAL = {"message": "Sending is not possible at this time."}
REFUSAL_HEADERS = {"x-amzn-ErrorType": "TooManyRequestsException"}
HOP_BY_HOP = {"connection", "content-length", "host", "transfer-encoding", "keep-alive"}
OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # not added by aiohttp


@dataclass
class MailProxy:
    """The proxy's target, whether it is down or slow, and its counts."""

    target: str = ""
    down: bool = False
    delay_s: float = 0.0
    sent: int = 0
    sent_at: list[float] = field(default_factory=list)
    refused: int = 0
    refused_at: list[float] = field(default_factory=list)

    async def handle_control(self, request: web.Request) -> web.Response:
        """Change the settings on PUT; return the present ones and the counts."""
        if request.method == "PUT":
            changes = await request.json()
            self.target = str(changes.get("target", self.target))
            self.down = bool(changes.get("down", self.down))
            self.delay_s = float(changes.get("delay_s", self.delay_s))
        return web.json_response({name: value for name, value in asdict(self).items() if name != "target"})

    async def forward(self, request: web.Request) -> web.Response:
        """Forward a call, or fail it while the service is down."""
        sends = request.path == SEND
        if self.down:
            if sends:
                self.refused += 1
                self.refused_at.append(time.time())
            return web.json_response(REFUSAL, status=429, headers=REFUSAL_HEADERS)
        if sends:
            self.sent += 1
            self.sent_at.append(time.time())
            await asyncio.sleep(self.delay_s)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body, session = await request.read(), request.app[SESSION]
        url = URL(self.target + request.raw_path, encoded=True)
        async with session.request(
            request.method,
            url,
            data=body or None,
            headers=headers,
            skip_auto_headers=OWN_HEADERS,
            allow_redirects=False,
        ) as reply:
            answered = {k: v for k, v in reply.headers.items() if k.lower() not in HOP_BY_HOP | {"content-encoding"}}
            return web.Response(status=reply.status, body=await reply.read(), headers=answered)


SESSION: web.AppKey[ClientSession] = web.AppKey("session", ClientSession)


async def build_application() -> web.Application:
    """Return the server's application."""
    proxy, app = MailProxy(), web.Application(client_max_size=20 * 1024 * 1024)
    app[SESSION] = ClientSession()
    app.router.add_route("*", "/_control", proxy.handle_control)
    app.router.add_route("*", "/{anything:.*}", proxy.forward)
    app.on_cleanup.append(_close_session)
    return app


async def _close_session(app: web.Application) -> None:
    await app[SESSION].close()


def main() -> int:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m stress.mail_proxy", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    options = parser.parse_args()
    web.run_app(build_application(), host="127.0.0.1", port=options.port, print=None, access_log=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
