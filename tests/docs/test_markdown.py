"""Everything that the Markdown files refer to exists."""

from pathlib import Path

import pytest

from tests.docs.markdown import MarkdownPage, is_path, is_there, list_mentions, list_pages, list_targets
from tests.services import ROOT

PAGES = list_pages()


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> MarkdownPage:
    """Return each file in turn."""
    found: MarkdownPage = request.param
    return found


def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: MarkdownPage) -> None:
    """Relative links, with or without an anchor."""
    broken = []
    for link in page.list_links():
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in MarkdownPage(target).list_anchors()
        ):
            broken.append(link)
    assert broken == []


def test_every_make_target_exists(page: MarkdownPage) -> None:
    """This holds for targets in text and in commands to copy."""
    assert page.list_commands() - list_targets() == set()


def test_every_path_exists(page: MarkdownPage) -> None:
    """Files, folders and tests in backticks, written from the root or from their package."""
    assert [code for code in sorted(page.list_paths()) if not is_there(code, page.path)] == []


def test_every_document_named_in_code_exists() -> None:
    """A comment that sends its reader to a decision names it by folder and number."""
    found = list(list_mentions())
    assert len(found) > 10
    assert [(file.name, name) for file, name in found if not [*ROOT.glob(name), *ROOT.glob(f"{name}-*.md")]] == []


def test_docs_hold_pages_alone() -> None:
    """Data and reports are in measurements/, what a tool reads stands beside the tool.

    The published contract is reference that clients are generated from.
    """
    others = [file for file in (ROOT / "docs").rglob("*") if file.is_file() and file.suffix != ".md"]
    assert others == [ROOT / "docs/reference/openapi.json"]


def test_every_page_of_the_docs_is_reached_from_their_index() -> None:
    """A page that nothing links to is found by nobody."""
    everything, reached, todo = set((ROOT / "docs").rglob("*.md")), set[Path](), [ROOT / "docs/index.md"]
    while todo:
        if (path := todo.pop()) in everything - reached:
            reached.add(path)
            todo += [(path.parent / link.partition("#")[0]).resolve() for link in MarkdownPage(path).list_links()]
    assert everything - reached == set()


def test_the_checks_find_what_is_missing() -> None:
    """A page without links, targets or paths would pass as well: these have some, and wrong ones are seen."""
    assert sum(1 for page in PAGES for _ in page.list_links()) > 40
    assert {"up", "test", "quick"} <= {name for page in PAGES for name in page.list_commands()}
    assert is_path("layers/shared/shared/nothing.py")
    assert is_path("shared/api")
    assert not is_there("layers/shared/shared/nothing.py", PAGES[0].path)
    assert not is_there("shared/nothing", PAGES[0].path)
    assert not is_there("tests/docs/test_markdown.py::test_that_is_not_there", PAGES[0].path)
    assert is_there("functions/<name>/<name>/{app,model}.py", PAGES[0].path)
