"""Generate docs/reference/problems.md from the catalogue of problems and the API's description.

PYTHONPATH=layers/shared python -m tools.problems_page [--check]
"""

import json
import re
import sys
from collections.abc import Mapping

from shared.api.problem_pages import ProblemPage, list_problem_pages
from shared.api.problems import MEDIA_TYPE
from tools.openapi.__main__ import TARGET
from tools.pages import REFERENCE, write_or_check

PAGE = REFERENCE / "problems.md"
HEAD = f"""# Problems

Every problem that an answer can have, generated from their catalogue (`make reference`; `make lint` checks it). An
answer of the type `{MEDIA_TYPE}` names its problem by `type`, and its `Link` header leads to the same text at
`/api/docs`; answers that the gateway makes by itself have no `Link`.

`detail` says what is wrong with this very request, and `errors` what is wrong with which field. A `pointer` is an RFC
6901 JSON pointer into the body, or the name of a path's, a query's or a header's field.
"""
# A problem of more calls is one that nearly all have, and their list would say nothing.
MOST_LISTED = 6


def render() -> str:
    """Return the page."""
    calls = list_calls()
    return HEAD + "".join(render_section(page, calls.get(page.urn, [])) for page in list_problem_pages())


def list_calls() -> Mapping[str, list[str]]:
    """Return the calls that may be answered with each problem, by its type, as far as the description lists them."""
    description = json.loads(TARGET.read_text(encoding="utf-8"))
    shared = description["components"].get("responses", {})
    found: dict[str, list[str]] = {}
    for path, item in description["paths"].items():
        for method, operation in item.items():
            for response in operation["responses"].values():
                text = shared.get(response.get("$ref", "").rpartition("/")[2], response)["description"]
                for urn in re.findall(r"`(urn:[^`]+)`", text):
                    found.setdefault(urn, []).append(f"`{method.upper()} {path}`")
    return found


def render_section(page: ProblemPage, calls: list[str]) -> str:
    """Return the section of one problem."""
    listed = f"Answered by {', '.join(calls)}.\n\n" if 0 < len(calls) <= MOST_LISTED else ""
    paragraphs = "".join(f"{text}\n\n" for text in page.paragraphs)
    return f"\n## {page.name}\n\n**{page.status} {page.title}**\n\n{paragraphs}{listed}".rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, render(), "make reference", sys.argv[1:]))
