"""Generate docs/reference/api.md from the API's description and the catalogue of problems.

PYTHONPATH=layers/shared python -m tools.api_page [--check]
"""

import json
import sys
from collections.abc import Iterator, Sequence

from shared.api.problems import CATALOGUE, MEDIA_TYPE, URN
from tools.openapi.__main__ import TARGET
from tools.pages import REFERENCE, format_table, write_or_check

PAGE = REFERENCE / "api.md"
DECISION = "../decisions/0068-publish-the-contract-and-refuse-what-breaks-it.md"
HEAD = f"""# API

The full description is OpenAPI 3.1, with examples of everything: [openapi.json](openapi.json). Each stack serves it as
`GET /api/openapi.json`, to read and try at its `/api/docs`. Clients can be generated from it: within the first number
of its version every change is one that they can take ([decision 68]({DECISION})). This page has what holds for all
operations, and is generated from the description and the catalogue of problems (`make reference`; `make lint` checks
it).

## What holds for every call
- **Format**: JSON in and out, `snake_case`, times in RFC 3339 and UTC, days as `2026-11-24`, money as decimal
  strings, ids as UUIDv7. Unknown fields and wrong types are refused (`"1"` is not 1). A body has at most 256 KiB.
- **Signing in**: `Authorization: Bearer <access token>` of the stack's user pool. A role is what the token's groups
  and the account's role both say. Somebody else's record is 404, like one that does not exist.
- **Repeating safely**: send `Idempotency-Key` with a new random value with every call that changes something, and the
  same value when you repeat it (required on applications, registrations, submissions and renewals). A repeat gets the
  first answer again, byte for byte, with `Idempotency-Replayed: true`; the same key with another request is 422;
  while the first call runs it is 409 with `Retry-After`. Keys live for 24 hours.
- **Following a call**: `X-Request-Id` of the answer names it in our logs. A valid `traceparent` (W3C trace context) of
  yours is continued there, and in the jobs and mails that follow from the call; an invalid one is ignored.
- **Changing a record**: `If-Match` with the `ETag` that you read. A stale one is 412 and changes nothing, a missing
  one 428.
- **Lists**: `?limit=` (1 to 100, 20 without it) and `?cursor=`; the answer is `{{"items": […], "next_cursor": …}}`,
  newest first, and `next_cursor` is null on the last page.
- **Limits**: `RateLimit` and `RateLimit-Policy` say what is left; over the limit the answer is 429 with
  `Retry-After`. [The limits](settings.md#limits-per-client) are exact, also for calls at the same instant. Repeats
  cost nothing.
- **Errors** are problem details (RFC 9457, `{MEDIA_TYPE}`) with a stable `type`, `{URN}<name>`; `instance` is the
  request's id, which every answer carries as `X-Request-Id`. The `Link` header leads to the page of the problem, and
  [all of them](problems.md) are here too.

"""


def render() -> str:
    """Return the page."""
    operations = format_table(("Operation", "Call", "What it does"), list_operations())
    problems = format_table(("Name", "Status", "Title", "What to do"), list_problems())
    return f"{HEAD}## Operations\n\n{operations}\n## Problems\n\n{problems}"


def list_operations() -> Iterator[Sequence[str]]:
    """Yield a row for each operation of the description."""
    description = json.loads(TARGET.read_text(encoding="utf-8"))
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield f"`{operation['operationId']}`", f"`{method.upper()} {path}`", operation["summary"]


def list_problems() -> Iterator[Sequence[str]]:
    """Yield a row for each problem, by status and name."""
    for name, problem in sorted(CATALOGUE.items(), key=lambda item: (item[1].status, item[0])):
        yield f"[`{name}`](problems.md#{name})", str(problem.status), problem.title, problem.detail


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, render(), "make reference", sys.argv[1:]))
