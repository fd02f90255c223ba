"""What the schema can't say, for the generator."""

import datetime as dt
import uuid
from typing import Any

import schemathesis

TODAY = dt.datetime.now(dt.UTC).date().isoformat()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """In calls that are meant to be valid: a key stands for one request, a cursor is ours, an incident has happened."""
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.query:
        case.query.pop("cursor", None)
    if isinstance(case.body, dict) and str(case.body.get("incident_date", "")) > TODAY:
        case.body["incident_date"] = TODAY
