"""Patches of the negative controls: each applies to the code of today, and one that does not says so."""

import re
import shutil
from pathlib import Path

import pytest

from shared.sql import parse_queries
from stress import sql
from stress.controls.checkout_copies import apply_patch
from stress.controls.model import FILE, PATCHES, InvalidControl, NegativeControl, read_controls
from tests.services import ROOT

CONTROLS = [control for control in read_controls(FILE.read_text(encoding="utf-8")) if control.patch]
FILE_HEADER = re.compile(r"^--- a/(.+)$", re.MULTILINE)
HUNK_HEADER = re.compile(r"^@@ .*\n", re.MULTILINE)

each_control = pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)


def copy_patched_files(control: NegativeControl, to: Path) -> dict[str, str]:
    """Copy the files that a patch changes to a folder; return their texts by name."""
    names = FILE_HEADER.findall(control.patch)
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to / name)
    return read_files(names, to)


def read_files(names: list[str], folder: Path) -> dict[str, str]:
    """Return the texts of files by name."""
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


def lines_before(hunk: str) -> str:
    """Return the lines of a file that a hunk is for, as they are before it."""
    return "".join(line[1:] for line in hunk.splitlines(keepends=True) if line.startswith((" ", "-")))


@each_control
def test_a_patch_applies_to_the_code_of_today(control: NegativeControl, tmp_path: Path) -> None:
    """Each of its files becomes another one that can still be read."""
    before = copy_patched_files(control, tmp_path)
    apply_patch(control, tmp_path)
    after = read_files(list(before), tmp_path)
    assert before
    for name, text in after.items():
        assert text != before[name]
        if name.endswith(".py"):
            compile(text, name, "exec")
        elif name.startswith("stress/"):
            assert list(sql.load(tmp_path / name)) == list(sql.load(ROOT / name))
        elif name.endswith(".sql"):
            parse_queries(text)


@each_control
def test_a_patch_fits_in_one_place_only(control: NegativeControl) -> None:
    """Git takes the place that is nearest to the line numbers, which need not be the one that was meant."""
    for diff in control.patch.split("diff --git ")[1:]:
        [name] = FILE_HEADER.findall(diff)
        text = (ROOT / name).read_text(encoding="utf-8")
        assert [text.count(lines_before(hunk)) for hunk in HUNK_HEADER.split(diff)[1:]] == [1] * diff.count("\n@@ ")


@each_control
def test_a_patch_that_does_not_apply_fails_with_its_controls_name(control: NegativeControl, tmp_path: Path) -> None:
    """Git's words name the file; no file is changed, not even one that the patch would fit."""
    before = copy_patched_files(control, tmp_path)
    changed = list(before)[-1]
    (tmp_path / changed).write_text("# the code that was here is gone\n", encoding="utf-8")
    with pytest.raises(InvalidControl, match=rf"^{control.name}: its patch does not apply .*{re.escape(changed)}"):
        apply_patch(control, tmp_path)
    assert read_files(list(before)[:-1], tmp_path) == dict(list(before.items())[:-1])


def test_each_patch_is_used_by_a_control() -> None:
    """No patch lies about unused; two controls may break the same for two scenarios."""
    assert {path.read_text(encoding="utf-8") for path in PATCHES.iterdir()} == {each.patch for each in CONTROLS}
