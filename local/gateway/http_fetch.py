"""Reading from the emulator without holding up the event loop."""

import asyncio
import http.client
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


async def fetch(url: str) -> bytes:
    """The body at a URL. Raises OSError if nobody answers, or not with 200."""
    return await asyncio.to_thread(_read_url, url)


def _read_url(url: str) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise OSError(f"{url}: {response.status}")
    return body
