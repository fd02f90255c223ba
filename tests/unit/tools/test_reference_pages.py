"""The generated reference pages: the same text whatever Python made them."""

from collections.abc import Callable

import pytest

from stress import published_claims
from stress.report import store
from tests.guarantees import page as guarantees
from tests.services import ROOT
from tools import api_page, decisions_page, objectives_page, problems_page, settings_page

# That of the data model needs a database: tests/integration/docs. The lane of the oldest Python runs this too: a page
# kept by one version must be what every version makes.
RENDERERS: dict[str, Callable[[], str]] = {
    "docs/reference/api.md": api_page.render,
    "docs/reference/problems.md": problems_page.render,
    "docs/reference/settings.md": settings_page.render,
    "docs/reference/guarantees.md": lambda: guarantees.render(
        guarantees.read_guarantees(guarantees.PROMISES.read_text(encoding="utf-8")), guarantees.read_published()
    ),
    "docs/reference/readiness.md": lambda: published_claims.build_page(
        store.load(ROOT / published_claims.REPORT), published_claims.read_published_claims(), ROOT
    ),
    "docs/reference/objectives.md": objectives_page.render,
    "docs/decisions/index.md": decisions_page.render,
}


@pytest.mark.parametrize("name", RENDERERS)
def test_a_page_is_what_its_generator_makes(name: str) -> None:
    """Written by `make reference`, `make guarantees` or `make stress-keep`, not by hand."""
    assert (ROOT / name).read_text(encoding="utf-8") == RENDERERS[name]()
