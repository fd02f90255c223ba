"""gzip, as an API with a minimum compression size applies it to responses and accepts it in requests."""

import gzip
import zlib
from dataclasses import replace

from local.gateway.gateway_responses import BAD_BODY, TOO_LARGE, UNSUPPORTED_ENCODING, GatewayRejection
from local.http_server import HttpRequest, HttpResponse

LEVEL = 1  # on loopback time matters more than size
GZIP_WINDOW = 31  # zlib's value for data with a gzip header


def decompress_request(request: HttpRequest, *, limit: int) -> HttpRequest | GatewayRejection:
    """Return the request with its body decompressed, at most `limit` bytes, and without its Content-Encoding."""
    encoding = (request.find_header("content-encoding") or "identity").lower()
    if encoding == "identity" or not request.body:
        return request
    if encoding not in ("gzip", "deflate"):
        return UNSUPPORTED_ENCODING
    unpacker = zlib.decompressobj(GZIP_WINDOW if encoding == "gzip" else zlib.MAX_WBITS)
    try:
        body = unpacker.decompress(request.body, limit + 1)
    except zlib.error:
        return BAD_BODY
    if len(body) > limit:
        return TOO_LARGE
    headers = [pair for pair in request.headers if pair[0].lower() != "content-encoding"]
    return replace(request, body=body, headers=headers) if unpacker.eof else BAD_BODY


def compress_response(response: HttpResponse, *, accept_encoding: str, minimum: int) -> HttpResponse:
    """Return the response compressed, if the client accepts gzip, the body is large enough and not encoded already."""
    is_encoded = any(name.lower() == "content-encoding" for name, _ in response.headers)
    if is_encoded or len(response.body) < minimum or "gzip" not in accept_encoding:
        return response
    body = gzip.compress(response.body, LEVEL, mtime=0)
    return HttpResponse(response.status, [*response.headers, ("Content-Encoding", "gzip")], body)
