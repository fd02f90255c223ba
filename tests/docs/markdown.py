"""References in the Markdown files: links, anchors, make targets, paths and tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.services import ROOT

FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^|\$\()make (?:-\S+ )*([a-z][a-z0-9-]*)\b", re.MULTILINE)
TARGET = re.compile(r"^([a-z][a-z0-9 -]*):(?!=)", re.MULTILINE)

# Paths are written from the root, or from where their package begins.
BASES = ("", "layers/shared", *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("functions/*")))
SUFFIXES = {".py", ".sql", ".toml", ".yaml", ".yml", ".md", ".sh", ".j2", ".html", ".in", ".json"}
# How code and configuration name a document; a decision by its number alone.
MENTION = re.compile(r"(?<![\w/])docs/[\w./-]*[\w-]")
CODE_SUFFIXES = {".py", ".sql", ".toml", ".yaml", ".yml", ".j2", ".sh"}
# Made at run time, so that a fresh checkout does not have them; .gitignore names their folders.
MADE = {line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines()} | {".git"}


@dataclass(frozen=True, slots=True)
class MarkdownPage:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the root."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """All that it says."""
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """Its text without fenced blocks."""
        return FENCE.sub("", self.text)

    def list_links(self) -> Iterator[str]:
        """Return the targets of its links and images, except those on the web."""
        for target in LINK.findall(CODE.sub("", self.prose)):
            if "://" not in target and not target.startswith("mailto:"):
                yield target

    def list_anchors(self) -> set[str]:
        """Return the anchors of its headings, as a code host makes them."""
        found: set[str] = set()
        for heading in HEADING.findall(self.prose):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            repeated = sum(1 for name in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", name))
            found.add(f"{slug}-{repeated}" if repeated else slug)
        return found

    def list_commands(self) -> set[str]:
        """Return the make targets that it names."""
        return set(COMMAND.findall("\n".join([*FENCE.findall(self.text), *CODE.findall(self.prose)])))

    def list_paths(self) -> set[str]:
        """Return what stands in backticks and looks like a path in this repository."""
        return {code for code in CODE.findall(self.prose) if is_path(code)}


def list_pages() -> list[MarkdownPage]:
    """Return every Markdown file of the repository."""
    patterns = ("*.md", ".github/**/*.md", "docs/**/*.md", "measurements/**/*.md")
    return [MarkdownPage(path) for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern))]


def list_targets() -> set[str]:
    """Return the names of the Makefile's targets."""
    return {name for names in TARGET.findall((ROOT / "Makefile").read_text()) for name in names.split()}


def is_path(code: str) -> bool:
    """Return whether a piece of code names a file or folder that a checkout should have."""
    path = code.partition("::")[0]
    if re.search(r"[\s()=…$:]|\{\w+\}", path) or path.startswith(("/", "http", "-", "~")):
        return False
    first = path.split("/")[0]
    if first in MADE:
        return False
    return Path(path).suffix in SUFFIXES or ("/" in path and any((ROOT / base / first).is_dir() for base in BASES))


def is_there(code: str, page: Path) -> bool:
    """Return whether the file, folder or test is there; `<name>`, `*` and `{a,b}` stand for several."""
    path, _, test = code.partition("::")
    found = [file for pattern in expand_placeholders(path) for file in find_path(pattern, page)]
    if not found or not test:
        return bool(found)
    return any(f"def {test}(" in file.read_text(encoding="utf-8") for file in found)


def expand_placeholders(path: str) -> list[str]:
    """Return the glob patterns that a path with placeholders stands for."""
    path = re.sub(r"<\w+>", "*", path).rstrip("/")
    braces = re.search(r"\{([^}]*,[^}]*)\}", path)
    if braces is None:
        return [path]
    return [path.replace(braces[0], word) for word in braces[1].split(",")]


def find_path(pattern: str, page: Path) -> list[Path]:
    """Return what fits the pattern, seen from the root, from a package or from the page itself."""
    places = [ROOT / base for base in BASES] + [page.parent]
    found = [file for place in places for file in place.glob(pattern)]
    if not found and "/" not in pattern:
        found = [file for top in list_tracked_folders() for file in top.rglob(pattern)]
    return found


def list_tracked_folders() -> list[Path]:
    """Return the top-level folders that belong to a checkout."""
    return [path for path in ROOT.iterdir() if path.is_dir() and path.name not in MADE]


def list_mentions() -> Iterator[tuple[Path, str]]:
    """Return the documents that code and configuration name, each with the file that does."""
    loose = [ROOT / "Makefile", ROOT / ".ci/run", *ROOT.glob("*.*"), *ROOT.glob(".github/**/*.*")]
    files = [*loose, *(file for folder in list_tracked_folders() for file in folder.rglob("*.*"))]
    for file in files:
        if file.suffix in CODE_SUFFIXES or file in loose[:2]:
            yield from ((file, name) for name in MENTION.findall(file.read_text(encoding="utf-8")))
