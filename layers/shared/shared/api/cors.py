"""CORS (Fetch, 3.3): which answers a script from another origin may read, and which calls its browser may send."""

from shared.api.call import ApiRequest
from shared.settings import Settings

EXPOSED = "Allow, ETag, Link, Location, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, X-Request-Id"
# How long a browser may cache the answer to a preflight, in seconds; Chromium's maximum.
PREFLIGHT_LIFE_S = 7200
# The same for every path, with all methods, so that a script can read the 404 or 405 of a wrong call.
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS",
    "Access-Control-Allow-Headers": "Authorization,Content-Type,Idempotency-Key,If-Match,Traceparent",
    "Access-Control-Max-Age": str(PREFLIGHT_LIFE_S),
}


def is_preflight(request: ApiRequest) -> bool:
    """Return whether the request is a browser's preflight: it asks which calls a script may send."""
    return request.method == "OPTIONS" and {"origin", "access-control-request-method"} <= request.headers.keys()


def build_cors_headers(request: ApiRequest, settings: Settings) -> dict[str, str]:
    """Return the CORS headers of an answer; an origin that is not allowed gets none."""
    origin, allowed = request.headers.get("origin"), settings.origins
    if origin is None or not ({"*", origin} & allowed):
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": "*" if "*" in allowed else origin,
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
        **(PREFLIGHT if is_preflight(request) else {}),
    }
