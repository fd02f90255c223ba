"""The fleet's connections to the database: each value is stated once, and reaches whoever acts on it."""

import re

import pytest
from pydantic import ValidationError

from local.database_proxy.proxy import BORROW_TIMEOUT_S
from shared.settings import Settings
from tests.services import ROOT
from tests.template.translation import find_by_type, load_template, translate

# The deployed values. Another one is a decision: docs/decisions/0017 says what depends on them.
DEFAULTS = {
    "DatabaseMaxConnections": 50,
    "DatabaseConnectTimeout": 10,
    "DatabaseIdleTimeout": 20,
    "DatabaseMaxLifetime": 3600,
}
VARIABLES = {
    "DB_MAX_CONNECTIONS": "DatabaseMaxConnections",
    "DB_CONNECT_TIMEOUT": "DatabaseConnectTimeout",
    "DB_IDLE_TIMEOUT": "DatabaseIdleTimeout",
    "DB_MAX_LIFETIME": "DatabaseMaxLifetime",
}
# The least and the most that a deployment takes: a call lasts 28 s; RDS Proxy closes a connection after half an hour
# without use, and after a day.
BOUNDS = {
    "DatabaseMaxConnections": (1, 1000),
    "DatabaseConnectTimeout": (2, 28),
    "DatabaseIdleTimeout": (1, 1799),
    "DatabaseMaxLifetime": (1, 86_399),
}
DEPLOY = (ROOT / "docs/how-to/deploy.md").read_text()


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_the_defaults_are_the_ones_decided_on(name: str, value: int) -> None:
    """They stand in the template, and in the settings without an environment."""
    assert load_template()["Parameters"][name]["Default"] == value
    (variable,) = (variable for variable, parameter in VARIABLES.items() if parameter == name)
    assert getattr(Settings(), variable.lower()) == value


@pytest.mark.parametrize(("variable", "name"), VARIABLES.items())
def test_a_value_out_of_bounds_is_refused_by_the_template_and_at_the_start(variable: str, name: str) -> None:
    """Both have the same bounds, so no deployment succeeds whose functions can't start."""
    parameter = load_template()["Parameters"][name]
    least, most = BOUNDS[name]

    assert (parameter["Type"], parameter["MinValue"], parameter["MaxValue"]) == ("Number", least, most)
    for taken in (least, most):
        assert getattr(Settings.from_environ({variable: str(taken)}), variable.lower()) == taken
    for refused in ("0", "-1", str(most + 1), "fifty"):
        with pytest.raises(ValidationError):
            Settings.from_environ({variable: refused})


def test_every_function_gets_the_parameters() -> None:
    """The one that migrates gets them too, and limits the roles by them."""
    functions = find_by_type(translate(), "AWS::Lambda::Function")
    del functions["PreTrafficFunction"]  # it reaches no database
    for function in functions.values():
        variables = function["Environment"]["Variables"]
        assert {name: variables[name]["Ref"] for name in VARIABLES} == VARIABLES


def test_the_page_about_deploying_says_how_the_proxy_follows() -> None:
    """Its pool's size by the parameter, and the borrow timeout that the stand-in has too."""
    assert "floor(100 × DatabaseMaxConnections / max_connections)" in DEPLOY
    assert re.findall(r"ConnectionBorrowTimeout` (\d+) s", DEPLOY) == [f"{BORROW_TIMEOUT_S:.0f}"]
