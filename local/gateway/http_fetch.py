"""HTTP reads from the emulator that don't block the event loop."""

import asyncio
import http.client
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


async def fetch(url: str) -> bytes:
    """Return the body at a URL. Raise OSError if it is unreachable or the status is not 200."""
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
