"""The mail that confirms Besa's claim could not be sent, and an admin looks after it."""

from collections.abc import Mapping

from tools.openapi.story.ids import CLAIM, JOB
from tools.openapi.story.operation_example import JSON, PAGE_QUERY, OperationExample, make_page

FAILED: JSON = {
    "id": JOB,
    "kind": "mail",
    "template": "claim-received",
    "priority": "high",
    "state": "failed",
    "attempts": 5,
    "last_error": "unavailable",
    "dismissal": None,
    "reason": "given-up",
    "age_s": 4079.0,
    "due_at": None,
    "subject_id": CLAIM,
    "created_at": "2026-11-03T07:12:01Z",
    "updated_at": "2026-11-03T08:20:00Z",
}

EXAMPLES: Mapping[str, OperationExample] = {
    "jobs.list": OperationExample(query={**PAGE_QUERY, "state": "failed"}, answer=make_page(FAILED)),
    "jobs.replay": OperationExample(
        answer={
            **FAILED,
            "state": "pending",
            "attempts": 0,
            "last_error": None,
            "reason": "due",
            "due_at": "2026-11-03T08:41:00Z",
            "updated_at": "2026-11-03T08:41:00Z",
        }
    ),
    "jobs.dismiss": OperationExample(
        bodies={"Besa has got it after all": {"reason": "delivered"}},
        answer={
            **FAILED,
            "state": "dismissed",
            "dismissal": "delivered",
            "reason": "dismissed",
            "updated_at": "2026-11-03T08:41:00Z",
        },
    ),
}
