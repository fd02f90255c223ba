"""The emulator's inbox as messages, newest first."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import getaddresses
from typing import Any

PATH = "/_ministack/ses/messages"


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """One mail. `to` has all its recipients' bare addresses; `sent_at` is RFC 3339, UTC.

    `text` and `html` are its decoded parts, empty if it has none; `headers` are those that its sender added.
    """

    id: str
    sender: str
    to: list[str]
    subject: str
    text: str
    html: str
    sent_at: str
    headers: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return its fields, for `/_local/mail.json`."""
        return asdict(self)


def parse_messages(document: bytes) -> list[InboxMessage]:
    """Return the messages of the emulator's response; the emulator has decoded their MIME parts."""
    accounts = json.loads(document)["messages"].values()
    records = sorted((r for account in accounts for r in account), key=lambda r: r["Timestamp"], reverse=True)
    return [_read_message(record) for record in records]


def _read_message(record: dict[str, Any]) -> InboxMessage:
    recipients = [*record["To"], *record["CC"], *record["BCC"]]
    return InboxMessage(
        id=record["MessageId"].partition("@")[0],
        sender=record["Source"],
        to=[address for _, address in getaddresses(recipients) if address],
        subject=record["Subject"] or "",
        text=record["BodyText"] or "",
        html=record["BodyHtml"] or "",
        sent_at=datetime.fromtimestamp(record["Timestamp"], UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        headers=record.get("Headers", {}),
    )
