"""Problems have one catalogue, and everything that is refused anywhere stands in it."""

import re
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, ReadTimeoutError
from psycopg import errors as pg

from shared.api.problem_answers import describe_problem
from shared.api.problems import CATALOGUE, URN
from shared.aws import error_codes
from shared.aws.errors import BotoError, classify_error
from shared.database.errors import CONSTRAINT_PROBLEMS, convert_to_answer
from shared.errors import DependencyFailed, FieldError, Refusal, Unavailable

ROOT = Path(__file__).resolve().parents[3]
PYTHON = [p for p in [*ROOT.glob("functions/*/*/*.py"), *ROOT.glob("layers/shared/shared/**/*.py")] if p.is_file()]
SQL = [*ROOT.glob("functions/*/*/*.sql"), *ROOT.glob("migrations/*.sql")]
# Tried again with another code before anyone is answered, or met by jobs and operators' commands alone.
NEVER_ANSWERED = {"referral-code-taken", "identity-taken", "identity-not-linked", "account-of-another-role"}
NEVER_ANSWERED |= {"account-of-staff", "address-proven"}


def list_named_problems() -> set[str]:
    """Return every problem that code or SQL raises by name."""
    python = "".join(path.read_text(encoding="utf-8") for path in PYTHON)
    sql = "".join(path.read_text(encoding="utf-8") for path in SQL)
    raised = set(re.findall(r'Refusal\(\s*"([a-z-]+)"', python))
    declared = {
        name for listed in re.findall(r"refusals=\(([^)]*)\)", python) for name in re.findall(r'"([a-z-]+)"', listed)
    }
    required = set(re.findall(r"'([a-z]+(?:-[a-z]+)+)'\s*\)", sql))
    return raised | declared | required | set(CONSTRAINT_PROBLEMS.values())


def test_every_problem_raised_by_name_is_in_the_catalogue() -> None:
    """A misspelt one would be answered as an internal error."""
    assert len(list_named_problems()) > 20
    assert list_named_problems() - set(CATALOGUE) - NEVER_ANSWERED == set()


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_problem_says_what_to_do(name: str) -> None:
    """Type, title, status, detail and instance: nothing is left to guess."""
    problem = describe_problem(Refusal(name), "request-1")
    assert problem.body["type"] == URN + name
    assert problem.status == problem.body["status"] == CATALOGUE[name].status
    assert problem.body["instance"] == "request-1"
    assert problem.body["detail"].endswith(".")


@pytest.mark.parametrize(
    ("error", "name", "waits"),
    [
        (Unavailable("database", retry_after_s=2.5), "unavailable", "3"),
        (DependencyFailed("Throttling"), "unavailable", "1"),
        (RuntimeError("secret"), "internal", None),
        (
            Refusal(
                "no-such-name",
                detail="secret",
                errors=(FieldError("/secret", "is secret"),),
                headers={"Retry-After": "9"},
            ),
            "internal",
            None,
        ),
    ],
)
def test_other_errors_are_answered_without_their_words(error: Exception, name: str, waits: str | None) -> None:
    """An unavailable dependency's problem says when to come again; others say nothing of the cause."""
    problem = describe_problem(error, "r")
    assert (problem.body["type"], problem.headers.get("Retry-After")) == (URN + name, waits)
    assert "secret" not in str(problem.body)


def test_field_errors_are_listed_as_pointers() -> None:
    """They have the form of RFC 9457's own example."""
    problem = describe_problem(Refusal("invalid-request", errors=(FieldError("/email", "is not one"),)), "r")
    assert problem.body["errors"] == [{"pointer": "/email", "detail": "is not one"}]


SECRET = "besa@example.test is not in the table accounts"
DATABASE_ERRORS = [cls for cls in vars(pg).values() if isinstance(cls, type) and issubclass(cls, psycopg.Error)]
CODES = sorted(error_codes.REFUSED | error_codes.LATER | error_codes.OPERATOR | {"AnyOther"})
SERVICE_ERRORS: list[BotoError] = [
    *(ClientError({"Error": {"Code": code, "Message": SECRET}}, "PutItem") for code in CODES),
    EndpointConnectionError(endpoint_url=SECRET),
    ReadTimeoutError(endpoint_url=SECRET),
    ParamValidationError(report=SECRET),
]


def require_words_of_ours(error: Exception) -> None:
    body = describe_problem(error, "r").body
    kind = CATALOGUE[str(body["type"]).removeprefix(URN)]
    assert (body["title"], body["detail"]) == (kind.title, kind.detail)
    assert SECRET not in str(body)


@pytest.mark.parametrize("kind", DATABASE_ERRORS, ids=lambda kind: kind.__name__)
def test_no_error_of_the_database_is_answered_with_its_words(kind: type[psycopg.Error]) -> None:
    """Whether it stands for an answer or not; RAISE gives nothing but the name of a problem."""
    assert len(DATABASE_ERRORS) > 200
    error = kind(SECRET)
    require_words_of_ours(convert_to_answer(error) or error)


@pytest.mark.parametrize("error", SERVICE_ERRORS, ids=lambda error: str(type(error).__name__))
def test_no_error_of_aws_is_answered_with_its_words(error: BotoError) -> None:
    """The answer has neither the library's sentence nor the service's."""
    require_words_of_ours(classify_error(error))
    require_words_of_ours(error)
