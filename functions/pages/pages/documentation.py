"""The API's description, and a page to read and try it: served entirely from here, nothing is loaded from elsewhere."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from pages.problem_sections import render_problem_sections
from shared.admission.ports import KEY_LIFE_S
from shared.api.call import Call
from shared.api.operation import IgnoredQuery, NoInput
from shared.api.parsing import MAX_KEY_LENGTH
from shared.api.problems import ABOUT_KEYS
from shared.api.responses import Answer
from shared.api.router import Api

# Swagger UI from drf-spectacular-sidecar: only its static files are read, its code (for Django) is not run.
_ASSETS = "drf-spectacular-sidecar"
_ASSETS_FOLDER = Path("drf_spectacular_sidecar/static/drf_spectacular_sidecar/swagger-ui-dist")

# The description and page change with a deploy, not within a minute.
_CACHED = {"Cache-Control": "public, max-age=60"}

# The page runs only what it was built with, talks to this API only, and can't be framed.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src {scripts}",
        "style-src {styles}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Interdomestik API</title>
<link rel="icon" href="data:,">
{scheme}
{styles}
</head>
<body>
<div id="page"></div>
{keys}
{problems}
{scripts}
</body>
</html>
"""

# Problems about keys link here (shared.api.problems).
_KEYS = f"""<section id="{ABOUT_KEYS.partition("#")[2]}" aria-labelledby="about-keys">
<h2 id="about-keys">Idempotency keys</h2>
<p>Send <code>Idempotency-Key</code> with a new random value, such as a UUID, for each new request, and the same value
when you repeat that request. However often it is repeated, it is done once. This page fills in a new key, and another
one after each answer: put a request's key back to repeat it.</p>
<ul>
<li>A key is 1 to {MAX_KEY_LENGTH} visible ASCII characters. <code>"k"</code> and <code>k</code> are one key.</li>
<li>The same key with the same request gets the first answer again, with <code>Idempotency-Replayed: true</code>. Parts
that expire, such as an upload form, are made anew.</li>
<li>The same key with another body, path or If-Match is refused with 422.</li>
<li>While the first request is still running, the second is refused with 409 and Retry-After.</li>
<li>A refusal releases the key: once its cause is gone, the same request with the same key succeeds. If a refusal is
final, its detail asks for a new key.</li>
<li>Keys belong to your account and the operation. Without an account they belong to the operation alone, so that a
phone which changes its network still gets its answer: that is why they must be random.</li>
<li>A key expires {KEY_LIFE_S / 3600:.0f} hours after its first answer.</li>
</ul>
</section>"""


def register_operations(api: Api) -> None:
    """Add the two operations to the function's API."""
    api.get(
        "/openapi.json",
        operation_id="documentation.read_description",
        summary="Read the API's description",
        input=IgnoredQuery,
        answer=None,
        sign_in="none",
    )(read_description)
    api.get(
        "/docs",
        operation_id="documentation.read_page",
        summary="Read and try the API",
        input=IgnoredQuery,
        answer=None,
        sign_in="none",
        media_type="text/html",
    )(read_page)


def read_description(_call: Call[NoInput]) -> Answer:
    """Read the description of all functions in OpenAPI 3.1."""
    return Answer(200, raw=_load_description(), headers=_CACHED)


def read_page(_call: Call[NoInput]) -> Answer:
    """Read and try the API, also offline; 'Authorize' takes a bearer token."""
    page = _build_page()
    headers = {"Content-Security-Policy": page.policy, "Content-Type": "text/html; charset=utf-8"}
    return Answer(200, raw=page.html, headers={**_CACHED, **headers})


@cache
def _load_description() -> str:
    return _read_own_file("openapi.json")


@dataclass(frozen=True, slots=True)
class _DocumentationPage:
    """The page, and the Content-Security-Policy under which a browser may run it."""

    html: str
    policy: str


@cache
def _build_page() -> _DocumentationPage:
    styles = (_read_asset("swagger-ui.css"), _read_own_file("docs_page.css"))
    scheme = _read_own_file("docs_page_scheme.js")
    scripts = (
        _read_asset("swagger-ui-bundle.js"),
        _read_own_file("docs_page_access.js"),
        _read_own_file("docs_page.js"),
    )
    policy = _POLICY.format(
        scripts=" ".join(map(_hash_inline_source, (scheme, *scripts))),
        styles=" ".join(map(_hash_inline_source, styles)),
    )
    html = _PAGE.format(
        scheme=f"<script>{scheme}</script>",
        styles="\n".join(f"<style>{style}</style>" for style in styles),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
        keys=_KEYS,
        problems=render_problem_sections(),
    )
    return _DocumentationPage(html, policy)


def _read_own_file(name: str) -> str:
    return resources.files("pages").joinpath(name).read_text(encoding="utf-8")


def _read_asset(name: str) -> str:
    path = Path(str(metadata.distribution(_ASSETS).locate_file(_ASSETS_FOLDER / name)))
    return path.read_text(encoding="utf-8")


def _hash_inline_source(inline: str) -> str:
    """Return an inline element's source expression (Content Security Policy Level 3, "hash-source")."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
