"""samconfig.toml: an environment each for trying out, for staging and for production."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from local.sam.build import SamFiles
from tests.services import ROOT
from tests.settings.test_defaults import PARAMETERS, REQUIRED

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    name: each
    for name, each in tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8")).items()
    if name != "version"
}
OTHERS = ("dev", "staging", "prod")
LOCAL_COMMANDS = {"local_invoke", "local_start_api", "local_start_lambda"}


def test_without_an_environment_it_is_dev() -> None:
    """The SAM command line calls that one `default`. Only `sam local` has options there alone."""
    assert set(ENVIRONMENTS) == {"default", *OTHERS}
    deployed = {command: given for command, given in ENVIRONMENTS["default"].items() if command not in LOCAL_COMMANDS}
    assert deployed == ENVIRONMENTS["dev"]


@pytest.mark.parametrize("command", sorted(LOCAL_COMMANDS))
def test_sam_local_reads_what_make_sam_local_writes(command: str) -> None:
    """The template and the functions' environment in the state folder of `make up`."""
    files = SamFiles.make_below(Path(".local"))
    options = ENVIRONMENTS["default"][command]["parameters"]
    assert (options["template_file"], options["env_vars"]) == (str(files.template), str(files.environment))


@pytest.mark.parametrize("name", OTHERS)
def test_an_environment_is_a_stack_of_its_own_with_its_name_on_everything(name: str) -> None:
    """The stack's name and a tag carry it, and reach the nested stack's resources too."""
    environment = ENVIRONMENTS[name]
    deployment = environment["deploy"]["parameters"]

    assert environment["global"]["parameters"]["stack_name"] == deployment["s3_prefix"] == f"interdomestik-{name}"
    assert deployment["tags"] == ["application=interdomestik", f"environment={name}"]
    assert environment["build"]["parameters"]["build_in_source"] is True


@pytest.mark.parametrize("name", OTHERS)
def test_an_environment_may_make_what_the_templates_hold(name: str) -> None:
    """Roles, and a nested template with a transform, which CloudFormation asks to be acknowledged."""
    capabilities = ENVIRONMENTS[name]["deploy"]["parameters"]["capabilities"]
    assert capabilities == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_where_it_counts_the_templates_defaults_hold(name: str) -> None:
    """Overrides on the command line replace all others, and must not take a protection away."""
    assert "parameter_overrides" not in ENVIRONMENTS[name]["deploy"]["parameters"]


def test_dev_is_cheap_and_can_be_deleted() -> None:
    """Each override is a parameter, and has another value than the default."""
    overrides = dict(pair.split("=", 1) for pair in ENVIRONMENTS["dev"]["deploy"]["parameters"]["parameter_overrides"])

    assert overrides["DatabaseDeletionProtection"] == "false"
    assert set(overrides) <= set(PARAMETERS)
    assert [n for n, value in overrides.items() if PARAMETERS[n] is not REQUIRED and str(PARAMETERS[n]) == value] == []


def test_somebody_reads_what_changes_in_production() -> None:
    """They confirm the change set before it is carried out."""
    assert ENVIRONMENTS["prod"]["deploy"]["parameters"]["confirm_changeset"] is True
