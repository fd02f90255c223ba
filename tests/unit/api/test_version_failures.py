"""Each failure of a version is counted under its number, so that a release of it can be taken back."""

import pytest

from local.events.embedded_metrics import MetricDatum, read_metrics
from shared.api.problem_answers import build_problem_answer
from shared.errors import Refusal, Unavailable

VARIABLES = {"STACK_NAME": "s", "POWERTOOLS_SERVICE_NAME": "members", "AWS_LAMBDA_FUNCTION_VERSION": "7"}


def find_failures(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[MetricDatum]:
    """Return what an answer to an error has counted."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    build_problem_answer(error, "r", base_path="")
    return list(read_metrics(capsys.readouterr().out.encode()))


@pytest.mark.parametrize("error", [RuntimeError(), Unavailable("database")])
def test_an_answer_of_5xx_counts_as_a_failure_of_the_version(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours, and a dependency that the version can't reach."""
    [found] = find_failures(error, capsys, monkeypatch)
    assert (found.namespace, found.name, found.values) == ("Interdomestik", "VersionFailures", (1.0,))
    assert dict(found.dimensions) == {"stack": "s", "service": "members", "version": "7"}


def test_a_refusal_counts_as_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has to change something."""
    assert find_failures(Refusal("forbidden"), capsys, monkeypatch) == []
