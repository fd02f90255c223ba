"""Survivors are kept, explained and shown, and a check finds those that are not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tools.mutants import page as mutants_page
from tools.mutants.decorators import write_without_decorators
from tools.mutants.mutmut_runs import describe_change
from tools.mutants.parts import PARTS, find_part
from tools.mutants.results import PartResults, SurvivingMutant, keep_results, list_troubles, read_results

SURVIVOR = SurvivingMutant("layers/a.py", 7, "A.wait", "x | 1", "x | 2", "Only the log shows it.")
RESULTS = PartResults("0123", "abcd", mutants=100, killed=99, hung=2, survivors=(SURVIVOR,))
UNEXPLAINED = replace(RESULTS, survivors=(replace(SURVIVOR, explanation=" "),))
DIFFERENCE = """# shared.retry.backoff.xǁBackoffǁcompute_delay__mutmut_1: survived
--- shared/retry/backoff.py
+++ shared/retry/backoff.py
@@ -1,3 +1,3 @@
     def compute_delay(self, attempt: int, uniform: Callable[[float, float], float]) -> float:
-        return uniform(0.0, min(self.cap_s, self.base_s * self.factor**attempt))
+        return uniform(1.0, min(self.cap_s, self.base_s * self.factor**attempt))
"""


def test_enough_of_the_code_is_noticed_and_the_rest_is_explained() -> None:
    """This is checked on the results that are kept."""
    assert list(list_troubles(read_results(), read_results())) == []


def test_results_without_trouble_have_none() -> None:
    """Each survivor has its explanation, and few survived."""
    assert list(list_troubles({"circuit": RESULTS}, ["circuit"])) == []


@pytest.mark.parametrize(
    ("kept", "trouble"),
    [
        ({}, "circuit: there are no results"),
        ({"circuit": replace(RESULTS, killed=94)}, "circuit: 94.0% of the mutants were noticed, less than 95%"),
        ({"circuit": UNEXPLAINED}, "layers/a.py:7: x | 1 → x | 2 survived, and nobody says why"),
    ],
)
def test_each_trouble_is_named(kept: dict[str, PartResults], trouble: str) -> None:
    """No results, too many survivors, or one that nobody explains."""
    [found] = list_troubles(kept, ["circuit"])
    assert trouble in found


def test_an_explanation_stays_with_its_change(tmp_path: Path) -> None:
    """It stays when code above moves; another change of the same line has none."""
    path = tmp_path / "mutants.json"
    keep_results("retry", RESULTS, path)
    keep_results("circuit", RESULTS, path)
    moved = replace(SURVIVOR, line=90, explanation="")
    keep_results("circuit", replace(RESULTS, survivors=(moved, replace(moved, after="x | 3"))), path)
    kept = read_results(path)
    assert [each.explanation for each in kept["circuit"].survivors] == ["Only the log shows it.", ""]
    assert [each.line for each in kept["circuit"].survivors] == [90, 90]
    assert kept["retry"] == RESULTS
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["circuit", "retry"]


def test_the_page_shows_each_survivor_and_which_results_are_older_than_the_code() -> None:
    """A part without results has a row as well."""
    page = mutants_page.render({"circuit": RESULTS, "retry": RESULTS}, {"circuit"})
    folders = {part.name: part.folder for part in PARTS}
    assert f"| `{folders['circuit']}` | 100 | 99 (99.0%) | 2 | 1 | `0123` | **older than the code** |" in page
    assert f"| `{folders['retry']}` | 100 | 99 (99.0%) | 2 | 1 | `0123` | as the code is |" in page
    assert f"| `{folders['worker']}` |  |  |  |  |  | not there yet |" in page
    assert "| a.py:7 `A.wait` | `x \\| 1` → `x \\| 2` | Only the log shows it. |" in page


def test_results_are_older_once_the_code_differs() -> None:
    """A digest of the files says so."""
    current = replace(RESULTS, digest=find_part("retry").compute_digest())
    assert list(mutants_page.list_older({"retry": current, "circuit": RESULTS})) == ["circuit"]


def test_a_digest_changes_with_each_file(tmp_path: Path) -> None:
    """It changes with a file's text and with its name."""
    part, folder = find_part("retry"), tmp_path / find_part("retry").folder
    folder.mkdir(parents=True)
    digests = set()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "")):
        (folder / name).write_text(text)
        digests.add(part.compute_digest(tmp_path))
    assert len(digests) == 3


def test_a_change_is_found_in_the_file_by_its_function() -> None:
    """The function's place in the checkout gives the line."""
    found = describe_change("layers/shared/shared/retry/backoff.py", "Backoff.compute_delay", DIFFERENCE)
    lines = Path("layers/shared/shared/retry/backoff.py").read_text(encoding="utf-8").splitlines()
    assert lines[found.line - 1].strip() == found.before
    assert found.after.startswith("return uniform(1.0, ")


def test_decorated_functions_are_written_so_that_they_are_mutated_too() -> None:
    """They mean the same; decorators that mutmut knows stay where they are, and so does everything else."""
    source = """
class Box:
    @property
    def size(self):
        return 1

    @staticmethod
    def open():
        return 2

@cache
@wraps(
    Box,
)
def find():
    return 3
"""
    expected = """
class Box:
    def size(self):
        return 1
    size = property(size)

    @staticmethod
    def open():
        return 2

def find():
    return 3
find = cache(wraps(Box)(find))
"""
    assert write_without_decorators(source) == expected


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_has_code_and_tests(part: object) -> None:
    """Both are in the folders that the part names."""
    found = find_part(getattr(part, "name", ""))
    assert list(Path(found.folder).glob("*.py"))
    assert [test for test in found.tests if not Path(test).exists()] == []


def test_the_page_may_not_call_results_of_older_code_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it said before: the check compares it with the code as it is."""
    page = tmp_path / "mutants.md"
    monkeypatch.setattr(mutants_page, "PAGE", page)
    monkeypatch.setattr(mutants_page, "read_results", lambda: {"retry": RESULTS})
    monkeypatch.setattr("tools.pages.ROOT", tmp_path)
    for older, status in (((), 1), (("retry",), 0)):
        page.write_text(mutants_page.render({"retry": RESULTS}, older), encoding="utf-8")
        assert mutants_page.main(["--check"]) == status
