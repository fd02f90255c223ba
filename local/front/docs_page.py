"""The API's own documentation page, with the token of whoever is signed in filled in, for /_local/docs.

The page at /api/docs stays as the function serves it, and as it is on AWS: what is added is added here.
"""

import base64
import hashlib
import json
import re
from html import escape

from local.front.people import SignedIn
from local.http_server import HttpResponse

BODY = re.compile(rb"<body[^>]*>")
# The bundle sets window.SwaggerUIBundle, and the page calls it. Both stay as they are: the call passes through here,
# which resolves the description's address as from the page's own, and gives every scheme of the description the token.
SCRIPT = """
{
  const page = new URL(%(page)s, location.origin), token = %(token)s;
  let bundle;
  const fill = system => {
    const schemes = system.getState().getIn(["spec", "json", "components", "securitySchemes"]);
    if (schemes && token) schemes.forEach((_, name) => system.preauthorizeApiKey(name, token));
  };
  Object.defineProperty(window, "SwaggerUIBundle", {
    get: () => bundle,
    set: made => {
      bundle = new Proxy(made, {
        apply(target, self, [options]) {
          const system = Reflect.apply(target, self, [{
            ...options, url: options.url && String(new URL(options.url, page)),
            onComplete(...seen) { fill(system); if (options.onComplete) options.onComplete(...seen); }
          }]);
          return system;
        }
      });
    }
  });
}
"""
STYLE = """
body { margin: 0; }
.local-sign-in { margin: 0; padding: .7rem 20px; background: #1f5fa8; color: #fff; }
.local-sign-in, .local-sign-in a { font: 15px/1.5 system-ui, sans-serif; }
.local-sign-in a { color: #fff; }
"""


def fill_in_token(answer: HttpResponse, *, address: str, signed_in: SignedIn | None) -> HttpResponse:
    """Return the answer of the page's function with the token filled in; `address` is the path it was read from.

    Return it unchanged if it is no page, such as a refusal.
    """
    found = BODY.search(answer.body)
    if answer.status != 200 or found is None:
        return answer
    script = SCRIPT % {"page": _quote(address), "token": _quote(signed_in.access_token if signed_in else "")}
    added = f"<style>{STYLE}</style><script>{script}</script>{_describe(signed_in)}"
    body = answer.body[: found.end()] + added.encode() + answer.body[found.end() :]
    return HttpResponse(answer.status, [_extend_policy(header, script) for header in answer.headers], body)


def _describe(signed_in: SignedIn | None) -> str:
    who = f"Signed in as {escape(signed_in.email)}; every call here has their token." if signed_in else "Not signed in."
    link = '<a href="/_local/#sign-in">Be somebody else</a>'
    return f'<aside class="local-sign-in" aria-label="Sign-in">{who} {link}</aside>'


def _quote(text: str) -> str:
    """Return a text as a literal that can stand in an inline script."""
    return json.dumps(text).replace("<", "\\u003c")


def _extend_policy(header: tuple[str, str], script: str) -> tuple[str, str]:
    name, value = header
    if name.lower() == "cache-control":
        return name, "no-store"  # another sign-in is another page
    if name.lower() == "content-security-policy":
        value = value.replace("script-src ", f"script-src {hash_source(script)} ", 1)
        value = value.replace("style-src ", f"style-src {hash_source(STYLE)} ", 1)
    return name, value


def hash_source(inline: str) -> str:
    """Return an inline element's source expression (Content Security Policy Level 3, "hash-source")."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
