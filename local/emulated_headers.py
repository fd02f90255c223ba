"""The headers that a sender adds to a mail, for the emulator's inbox: the emulator takes and forgets them.

Runs in the emulator's process.
"""

import json
from http import HTTPStatus
from typing import Any

from ministack import app
from ministack.services import ses, ses_v2

SEND = "/outbound-emails"


def keep_headers() -> None:
    """Keep each mail's own headers with its record, and show them in the inbox as `Headers`."""
    send, show = ses_v2.handle_request, app._handle_ses_messages_request  # noqa: SLF001 - it has no public name

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        answer = await send(method, path, headers, body, query)
        if method == "POST" and path.endswith(SEND) and answer[0] == HTTPStatus.OK:
            record = _list_records().get(json.loads(answer[2])["MessageId"], {})
            record["Headers"] = _read_headers(body)
        return answer

    async def handle_messages_request(*request: Any) -> Any:
        answer = await show(*request)
        return _add_headers(answer) if answer is not None and answer[0] == HTTPStatus.OK else answer

    ses_v2.handle_request, app._handle_ses_messages_request = handle_request, handle_messages_request  # noqa: SLF001


def _read_headers(body: bytes) -> dict[str, str]:
    simple = json.loads(body)["Content"].get("Simple", {})
    return {header["Name"]: header["Value"] for header in simple.get("Headers", ())}


def _add_headers(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = answer
    document, records = json.loads(body), _list_records()
    for messages in document["messages"].values():
        for message in messages:
            message["Headers"] = records.get(message["MessageId"], {}).get("Headers", {})
    return status, headers, json.dumps(document).encode()


def _list_records() -> dict[str, dict[str, Any]]:
    """Return the records of all mails by their ids, of every account and region."""
    kept = [entries for entries in ses._sent_emails.to_dict().values() if isinstance(entries, list)]  # noqa: SLF001
    return {record["MessageId"]: record for entries in kept for record in entries}
