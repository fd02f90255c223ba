"""The sections of the documentation page that explain each problem; answers link to them."""

import html
import re

from shared.api.problem_pages import ProblemPage, list_problem_pages


def render_problem_sections() -> str:
    """Return the HTML of the sections, one for each problem, whose id is what its answers' Link header names."""
    sections = "\n".join(map(_render_section, list_problem_pages()))
    heading = '<h2 id="about-problems">Problems</h2>'
    return f'<section id="problems" aria-labelledby="about-problems">\n{heading}\n{sections}\n</section>'


def _render_section(page: ProblemPage) -> str:
    paragraphs = "\n".join(f"<p>{_mark_code(text)}</p>" for text in page.paragraphs)
    return (
        f'<section id="{page.anchor}">\n<h3>{page.status} {html.escape(page.title)}</h3>\n'
        f"<p><code>{page.urn}</code></p>\n{paragraphs}\n</section>"
    )


def _mark_code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
