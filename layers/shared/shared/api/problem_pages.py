"""The facts of each problem's page; the pages function and docs/reference/problems.md show the same."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.api.final_problems import FINAL, LIFTABLE, OF_THE_GATEWAY
from shared.api.problems import CATALOGUE, URN


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """The text of a problem's page, in paragraphs of plain text; code stands in backquotes."""

    name: str
    status: int
    title: str
    paragraphs: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """Return the id of its section."""
        return f"problem-{self.name}"

    @property
    def urn(self) -> str:
        """Return its type."""
        return URN + self.name


def list_problem_pages() -> Iterator[ProblemPage]:
    """Yield the page of every problem in the catalogue, by status and name."""
    for name, kind in sorted(CATALOGUE.items(), key=lambda item: (item[1].status, item[0])):
        paragraphs = (kind.detail, kind.about, _describe_key(name))
        yield ProblemPage(name, kind.status, kind.title, tuple(text for text in paragraphs if text))


def _describe_key(name: str) -> str:
    """Return what becomes of the Idempotency-Key of a request that is refused with the problem."""
    if name in FINAL:
        return (
            f"It is the final answer to its Idempotency-Key, since {FINAL[name]}: send another request with a new key."
        )
    if name in LIFTABLE:
        return f"The Idempotency-Key is free again: the same request with the same key succeeds once {LIFTABLE[name]}."
    if name in OF_THE_GATEWAY:
        return "The gateway answers this in place of a function. The same key keeps the request from being done twice."
    return "The request did not use its Idempotency-Key: what is stored under the key stays as it is."
