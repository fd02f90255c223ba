"""Settings of circuits, as the environment says them."""

import pytest
from pydantic import ValidationError

from shared.settings import DEFAULT_CIRCUITS, Settings


def test_circuits_have_the_defaults_decided_on() -> None:
    """Five failures; a minute open for mail, half a minute for the others."""
    policies = {name: Settings().circuit(name) for name in DEFAULT_CIRCUITS}
    assert {name: (p.name, p.failures, p.open_s) for name, p in policies.items()} == {
        "email": ("email", 5, 60),
        "identity": ("identity", 5, 30),
        "storage": ("storage", 5, 30),
    }


def test_the_environment_changes_what_it_names() -> None:
    """And nothing else."""
    settings = Settings.from_environ({"CIRCUITS": '{"email": {"failures": 9, "open_s": 2.5}}'})
    changed, before = settings.circuit("email"), DEFAULT_CIRCUITS["email"]
    assert (changed.failures, changed.open_s, changed.slow_s) == (9, 2.5, before.slow_s)
    assert settings.circuit("storage") == DEFAULT_CIRCUITS["storage"]


@pytest.mark.parametrize(
    "circuits",
    ['{"database": {"failures": 9}}', '{"email": {"failure": 9}}', '{"email": {"name": 9}}',
     '{"email": {"failures": 0}}', '{"email": {"open_s": "long"}}', '{"email": 9}'],
)  # fmt: skip
def test_a_circuit_that_can_not_be_is_refused(circuits: str) -> None:
    """An unknown circuit, an unknown tunable, a number that means nothing."""
    with pytest.raises(ValidationError):
        Settings.from_environ({"CIRCUITS": circuits})
