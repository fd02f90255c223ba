"""The inbox as a page. A mail's HTML is shown in a sandboxed frame; everything else is escaped text."""

import secrets
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlencode

from local.http_server import HttpResponse
from local.inbox.messages import InboxMessage

PAGE = Template(Path(__file__).with_name("page.html").read_text())
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; script-src 'nonce-{nonce}'"
)


# A click on a link of the mail opens it in the place of this page; nothing else of the mail can do so.
SANDBOX = "allow-top-navigation-by-user-activation"
OPEN_OUTSIDE = '<base target="_top">'
# The frame can't be made as high as its content, which nobody outside may look at. So a bar that never hides says that
# there is more below.
SCROLL = (
    "<style>html { overflow-y: scroll } ::-webkit-scrollbar { width: 12px; background: #eee }"
    " ::-webkit-scrollbar-thumb { background: #888 }</style>"
)


def render_page(messages: list[InboxMessage], *, query: str, listed: int) -> HttpResponse:
    """Return the page: the newest `listed` messages, and the one in `?message=`, or the newest."""
    wanted = parse_qs(query).get("message", [""])[0]
    chosen = next((m for m in messages if m.id == wanted), messages[0] if messages else None)
    nonce = secrets.token_urlsafe(16)
    page = PAGE.substitute(
        nonce=nonce,
        count=len(messages),
        newest=escape(messages[0].id if messages else ""),
        rows="".join(_render_row(m, chosen=m is chosen) for m in messages[:listed])
        or '<li class="none">No mail yet</li>',
        message=_render_message(chosen) if chosen else "",
    )
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", POLICY.format(nonce=nonce)),
        ("Cache-Control", "no-store"),
    ]
    return HttpResponse(200, headers, page.encode("utf-8", "replace"))


def _lead_out(html: str) -> str:
    """Return a mail's HTML whose links leave the frame, and which shows that it scrolls."""
    head, tag, rest = html.partition("<head>")
    added = OPEN_OUTSIDE + SCROLL
    return f"{head}{tag}{added}{rest}" if tag else added + html


def _render_row(message: InboxMessage, *, chosen: bool) -> str:
    current = ' aria-current="true"' if chosen else ""
    return (
        f'<li><a href="?{escape(urlencode({"message": message.id}))}"{current}>'
        f"<b>{escape(message.subject) or '(no subject)'}</b>"
        f"<span>{escape(', '.join(message.to))}</span>{_format_time(message)}</a></li>"
    )


def _format_time(message: InboxMessage) -> str:
    return f'<time datetime="{message.sent_at}">{message.sent_at[:19].replace("T", " ")} UTC</time>'


def _render_message(message: InboxMessage) -> str:
    frame = f'<iframe title="HTML part" sandbox="{SANDBOX}" srcdoc="{escape(_lead_out(message.html))}"></iframe>'
    return (
        f"<header><h2>{escape(message.subject) or '(no subject)'}</h2>"
        f"<p>to {escape(', '.join(message.to))} · from {escape(message.sender)} · {_format_time(message)}</p></header>"
        f'<div class="parts"><section><h3>HTML</h3>{frame if message.html else "<p>none</p>"}</section>'
        f"<section><h3>Text</h3><pre>{escape(message.text) or 'none'}</pre></section></div>"
    )
