"""Labels are placed by the width of their text, known before a browser draws them."""

from stress.report.formatting import format_tick
from stress.report.text_width import assign_levels, clamp_middle, measure_text, wrap_text


def test_lines_are_broken_at_spaces_and_in_long_words_only() -> None:
    """Nothing is left out, and no line is wider than its room."""
    text = "the evidence store of documents a_name_without_any_space_in_it"
    lines = wrap_text(text, 80, 11)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(measure_text(line, 11) <= 80 for line in lines)
    assert wrap_text("health", 80, 11) == ["health"]
    assert wrap_text("", 80, 11) == []


def test_other_alphabets_and_bold_are_taken_as_wider() -> None:
    """A label that is wider than thought would cover another."""
    assert measure_text("жж", 10) > measure_text("aa", 10)
    assert measure_text("aa", 10, bold=True) > measure_text("aa", 10)


def test_spans_that_would_touch_get_levels_of_their_own() -> None:
    """The lowest that is free."""
    assert assign_levels([(0, 10), (5, 15), (12, 20), (13, 22), (40, 50)], gap=2) == [0, 1, 0, 2, 0]


def test_a_label_at_an_edge_is_moved_into_the_chart() -> None:
    """It is moved no further than it must be."""
    assert [clamp_middle(at, 20, 0, 100) for at in (0, 10, 50, 95)] == [10, 10, 50, 90]


def test_ticks_are_written_short() -> None:
    """An axis has room for some five digits."""
    written = [format_tick(value) for value in (0, 0.5, 5000, 20_000, 1_500_000, 2e9, 0.00005, 0.000012)]
    assert written == ["0", "0.5", "5,000", "20k", "1.5M", "2G", "5e-5", "1.2e-5"]
