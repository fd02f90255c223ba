"""A page of HTML as its elements, with the text that a browser shows of each.

Attributes, titles that appear under a pointer, styles, and hidden elements are no such text.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
UNSEEN = {"head", "style", "script", "template", "title", "desc", "defs"}  # title and desc are those of drawings


@dataclass
class PageElement:
    """An element, with the texts and elements in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["PageElement | str"] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """Return its classes."""
        return self.attributes.get("class", "").split()

    @property
    def is_seen(self) -> bool:
        """Return whether a browser shows it."""
        style = self.attributes.get("style", "").replace(" ", "")
        return self.tag not in UNSEEN and "hidden" not in self.attributes and "display:none" not in style

    @property
    def text(self) -> str:
        """Return the words that are seen in it, separated by spaces."""
        parts = [each if isinstance(each, str) else each.text for each in self.children if _is_seen(each)]
        return " ".join(" ".join(parts).split())

    @property
    def elements(self) -> list["PageElement"]:
        """Return the elements right in it that are seen."""
        return [each for each in self.children if isinstance(each, PageElement) and each.is_seen]

    def find_all(self, tag: str, of_class: str = "") -> list["PageElement"]:
        """Return all elements in it, at any depth, of a tag, and of a class if one is given, in their order."""
        found = []
        for each in self.elements:
            if each.tag == tag and (not of_class or of_class in each.classes):
                found.append(each)
            found += each.find_all(tag, of_class)
        return found

    def read(self, tag: str, of_class: str = "") -> str:
        """Return the text of the first of them; empty if there is none."""
        return next((each.text for each in self.find_all(tag, of_class)), "")

    def read_rows(self, of_class: str) -> list[list[str]]:
        """Return the texts of each row's cells, of the first table of a class, without its head."""
        bodies = [body for table in self.find_all("table", of_class)[:1] for body in table.find_all("tbody")]
        return [[cell.text for cell in row.elements] for body in bodies for row in body.find_all("tr")]

    def read_pairs(self, of_class: str = "", without: str = "-") -> list[list[str]]:
        """Return each term with its description, of the lists of a class that don't have another one."""
        lists = [each for each in self.find_all("dl", of_class) if without not in each.classes]
        return [[pair.read("dt"), pair.read("dd")] for each in lists for pair in each.find_all("div")]


def _is_seen(child: "PageElement | str") -> bool:
    return isinstance(child, str) or child.is_seen


class _PageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [PageElement("page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = self._add(tag, attrs)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        places = [n for n, element in enumerate(self.open) if n and element.tag == tag]
        if places:
            del self.open[places[-1] :]

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def _add(self, tag: str, attrs: list[tuple[str, str | None]]) -> PageElement:
        element = PageElement(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        return element


def read_page(text: str) -> PageElement:
    """Return the page as an element that has all others in it."""
    parser = _PageParser()
    parser.feed(text)
    parser.close()
    return parser.open[0]
