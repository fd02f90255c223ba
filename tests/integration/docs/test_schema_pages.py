"""The pages about the schema say what the migrations make."""

import re

import psycopg
import pytest

from tests.databases import FreshDatabase
from tests.services import ROOT
from tools import data_model_page

STATE_MACHINES = (ROOT / "docs/reference/state-machines.md").read_text(encoding="utf-8")
ARROW = re.compile(r"^    (\w+) --> (\w+)", re.MULTILINE)


def read_arrows(title: str) -> set[tuple[str, str]]:
    """Return the transitions that the diagram of a section draws, without its start and its ends."""
    section = STATE_MACHINES.partition(f"## {title}")[2].partition("\n## ")[0]
    return set(ARROW.findall(section))


def test_the_data_model_is_that_of_the_schema(fresh_database: FreshDatabase) -> None:
    """The page is written by `make reference`, never by hand."""
    with psycopg.connect(fresh_database.postgres.build_conninfo(dbname=fresh_database.name)) as connection:
        assert data_model_page.PAGE.read_text(encoding="utf-8") == data_model_page.render(connection)


@pytest.mark.parametrize(
    ("title", "table"), [("Claim", "claim_moves"), ("Agent", "agent_moves"), ("Commission", "commission_moves")]
)
def test_a_diagram_draws_the_transitions_that_the_database_allows(
    fresh_database: FreshDatabase, title: str, table: str
) -> None:
    """Each arrow is a row of the table, and each row an arrow."""
    rows = fresh_database.query_rows(f"SELECT from_state, to_state FROM {table}")
    assert read_arrows(title) == {(row["from_state"], row["to_state"]) for row in rows}
