"""Everything that the Markdown files refer to exists."""

from pathlib import Path

import pytest

from tests.docs.markdown import Page, exists, is_path, mentions, pages, targets
from tests.services import ROOT

PAGES = pages()


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Page:
    """Each file in turn."""
    found: Page = request.param
    return found


def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Page) -> None:
    """Relative links, with or without an anchor."""
    broken = []
    for link in page.links():
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in Page(target).anchors()):
            broken.append(link)
    assert broken == []


def test_every_make_target_exists(page: Page) -> None:
    """In text and in commands to copy."""
    assert page.commands() - targets() == set()


def test_every_path_exists(page: Page) -> None:
    """Files, folders and tests in backticks, written from the root or from their package."""
    assert [code for code in sorted(page.paths()) if not exists(code, page.path)] == []


def test_every_document_named_in_code_exists() -> None:
    """A comment that sends its reader to a decision names it by folder and number."""
    found = list(mentions())
    assert len(found) > 10
    assert [(file.name, name) for file, name in found if not [*ROOT.glob(name), *ROOT.glob(f"{name}-*.md")]] == []


def test_docs_hold_pages_alone() -> None:
    """Data and reports are in measurements/, what a tool reads stands beside the tool."""
    assert [file for file in (ROOT / "docs").rglob("*") if file.is_file() and file.suffix != ".md"] == []


def test_every_page_of_the_docs_is_reached_from_their_index() -> None:
    """A page that nothing links to is found by nobody."""
    everything, reached, todo = set((ROOT / "docs").rglob("*.md")), set[Path](), [ROOT / "docs/index.md"]
    while todo:
        if (path := todo.pop()) in everything - reached:
            reached.add(path)
            todo += [(path.parent / link.partition("#")[0]).resolve() for link in Page(path).links()]
    assert everything - reached == set()


def test_the_checks_find_what_is_missing() -> None:
    """A page without links, targets or paths would pass as well: these have some, and wrong ones are seen."""
    assert sum(1 for page in PAGES for _ in page.links()) > 40
    assert {"up", "test", "quick"} <= {name for page in PAGES for name in page.commands()}
    assert is_path("layers/shared/shared/nothing.py")
    assert is_path("shared/api")
    assert not exists("layers/shared/shared/nothing.py", PAGES[0].path)
    assert not exists("shared/nothing", PAGES[0].path)
    assert not exists("tests/docs/test_markdown.py::test_that_is_not_there", PAGES[0].path)
    assert exists("functions/<name>/<name>/{app,model}.py", PAGES[0].path)
