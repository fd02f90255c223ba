"""Names that break a rule fail `make names`."""

from pathlib import Path

import pytest

from tools.names import FOLDERS, check_classes, is_verb_led, list_functions, main

GOOD = "def read_row(): ...\ndef is_open(): ...\ndef can_pay(): ...\n"


def write_tree(root: Path, **files: str) -> Path:
    """Write a tree whose folders have a file each: GOOD, or the one given."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
        (root / folder / "module.py").write_text(files.get(folder, GOOD), encoding="utf-8")
    return root


def test_a_tree_of_verbs_passes(tmp_path: Path) -> None:
    assert main(write_tree(tmp_path)) == 0


@pytest.mark.parametrize("folder", FOLDERS)
def test_two_nouns_among_five_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    """The share is 60 %."""
    tree = write_tree(tmp_path, **{folder: f"{GOOD}def row(): ...\nclass Table:\n    def cells(self): ...\n"})

    assert main(tree) == 1
    error = capsys.readouterr().err
    assert f"{folder}: fewer than 75%" in error
    assert ": row\n" in error
    assert ": cells\n" in error


def test_one_noun_among_four_passes(tmp_path: Path) -> None:
    """The share is 75 %."""
    assert main(write_tree(tmp_path, layers=f"{GOOD}def row(): ...\n")) == 0


def test_a_test_functions_name_is_a_sentence(tmp_path: Path) -> None:
    """It counts neither as a verb nor as a noun, and nor does a hook of pytest."""
    sentences = "def test_a_row_is_read(): ...\ndef pytest_collection_finish(): ...\n"

    assert main(write_tree(tmp_path / "verbs", tests=f"{GOOD}{sentences}")) == 0
    assert main(write_tree(tmp_path / "nouns", tests=f"{GOOD}{sentences}def row(): ...\ndef cell(): ...\n")) == 1


def test_a_name_is_a_verb_or_begins_with_one() -> None:
    verbs = {"read", "black_hole"}
    led = ("read", "read_row", "_read_row", "black_hole_database", "has_rows")
    others = ("reader", "row", "told", "hash_rows", "black", "_row", "has")

    assert all(is_verb_led(name, verbs) for name in led)
    assert not any(is_verb_led(name, verbs) for name in others)


def test_special_methods_properties_and_fixtures_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "class Row:\n"
        "    def __enter__(self): ...\n"
        "    @property\n    def size(self): ...\n"
        "    @size.setter\n    def size(self, value): ...\n"
        "    @functools.cached_property\n    def parts(self): ...\n"
        "    @classmethod\n    def blank(cls): ...\n"
        "@pytest.fixture(scope='module')\ndef row(): ...\n"
        "async def rows(): ...\n"
        "def make_row():\n    def value(): ...\n",
        encoding="utf-8",
    )
    names = [function.place.rpartition(" ")[2] for function in list_functions(tmp_path, {"make"})]

    assert sorted(names) == ["blank", "make_row", "rows", "value"]


def test_a_class_name_stands_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All folders count together, and classes inside of others and of functions too."""
    nested = f"{GOOD}def make_row():\n    class Row: ...\n"

    assert main(write_tree(tmp_path, functions=f"{GOOD}class Row: ...\n", tests=nested)) == 1
    error = capsys.readouterr().err
    assert "class Row stands at" in error
    assert "functions/module.py:4" in error
    assert "tests/module.py:5" in error


def test_a_name_with_a_reason_may_stand_twice(tmp_path: Path) -> None:
    root = write_tree(tmp_path, stress="class Row: ...\n", tests="class Row: ...\n")

    assert list(check_classes(root, {"Row": "the report imports nothing of the tests"})) == []


def test_a_reason_without_need_is_found(tmp_path: Path) -> None:
    assert list(check_classes(write_tree(tmp_path), {"Row": "no longer"})) == [
        "class Row is unique: remove it from REPEATED_CLASSES"
    ]
