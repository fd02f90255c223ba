"""A deployment publishes a new version of every function that differs from what is called, and none that doesn't."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.template import read_template
from tests.services import ROOT
from tests.settings.test_defaults import PARAMETERS, REQUIRED
from tests.template.release_changes import (
    AGAIN,
    BEFORE,
    CONCURRENCY,
    FIRST,
    FUNCTIONS,
    NOTHING,
    PLAIN,
    RELEASED,
    SECOND,
    TEXT,
    LazyDeployments,
    change_file,
    deploy_plainly,
    deploy_releases,
    transform_deployments,
)
from tools.release import (
    NoBuild,
    compute_release,
    insert_release,
    parse_parameters,
    read_built_template,
    read_parameters,
    read_release,
    stamp_build,
)
from tools.releases_page import PAGE, render

# The ids of each, deployed without a release's id.
DEPLOYED_PLAINLY = LazyDeployments(deploy_plainly)


@pytest.mark.parametrize("change", PLAIN)
def test_what_is_built_reaches_what_is_called_by_a_plain_deployment(change: str) -> None:
    """`sam build` and `sam deploy` suffice; unchanged code keeps its version."""
    assert DEPLOYED_PLAINLY[change].moved_from(DEPLOYED_PLAINLY[NOTHING]) == PLAIN[change][1]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> LazyDeployments:
    """Return the ids of each, deployed by `make deploy`, one after another."""
    folder = tmp_path_factory.mktemp("builds")
    return LazyDeployments(lambda changes: deploy_releases(changes, folder))


@pytest.mark.parametrize("change", [name for name in RELEASED if name not in (NOTHING, AGAIN)])
def test_every_change_reaches_what_is_called_by_a_release(released: LazyDeployments, change: str) -> None:
    """All functions have a new version, and the API a new deployment, also where a parameter's value alone changed."""
    assert released[change].moved_from(released[NOTHING]) == FUNCTIONS
    assert released[change].api != released[NOTHING].api


def test_nothing_deployed_again_publishes_no_version(released: LazyDeployments) -> None:
    """`make deploy` publishes none either; the API is deployed anew each time."""
    assert released[AGAIN].moved_from(released[NOTHING]) == frozenset()


def test_the_page_shows_what_the_transform_finds(released: LazyDeployments) -> None:
    """The page is written by `make reference`, never by hand."""
    assert PAGE.read_text(encoding="utf-8") == render(DEPLOYED_PLAINLY, released)


def test_every_parameter_has_another_value_here() -> None:
    """A new parameter belongs into SECOND."""
    defaults = {name: FIRST[name] if value is REQUIRED else str(value) for name, value in PARAMETERS.items()}
    assert {name for name in PARAMETERS if SECOND.get(name, defaults[name]) == defaults[name]} == set()


def test_the_same_release_again_publishes_nothing(tmp_path: Path) -> None:
    """Built and stamped anew, from files that were written and compiled anew."""
    again = []
    for name in ("first", "second"):
        build = BEFORE.build_in(tmp_path / name)
        (build / "SharedLayer/python/shared/__pycache__").mkdir()
        (build / "SharedLayer/python/shared/__pycache__/settings.cpython-313.pyc").write_text(name)
        stamp_build(build, ["LogLevel=DEBUG", "MailRate=2"])
        stamp_build(build, ["MailRate=2", "LogLevel=DEBUG"])  # stamped before: it makes no difference
        again.append(replace(BEFORE, template=read_built_template(build)))
    first, second = transform_deployments(*again)
    assert second.moved_from(first) == frozenset()


def test_a_release_gives_lambda_something_to_compare_where_only_the_functions_concurrency_differs(
    tmp_path: Path,
) -> None:
    """The id is in the variables, which are part of a version; a plain deployment asks for one that is refused."""
    before, after = (
        stamp_build(RELEASED[name].build_in(tmp_path / str(number)), [])
        for number, name in enumerate((NOTHING, CONCURRENCY))
    )
    assert before != after


def test_a_plain_deployment_after_a_release_does_not_keep_the_old_versions(tmp_path: Path) -> None:
    """The id stands in the built template and nowhere in the stack: the next build is without it."""
    build = BEFORE.build_in(tmp_path)
    stamp_build(build, [])
    stamped_one, after = transform_deployments(
        replace(BEFORE, template=read_built_template(build)), change_file("ClaimsFunction/app.py")
    )
    assert after.moved_from(stamped_one) == FUNCTIONS


def test_the_stamp_is_a_variable_of_every_function() -> None:
    """It names their versions, and health reports it."""
    document = read_template(insert_release(TEXT, "0123456789ab"))
    assert document["Globals"]["Function"]["Environment"]["Variables"]["RELEASE"] == "0123456789ab"
    assert read_release(insert_release(TEXT, "0123456789ab")) == "0123456789ab"


def test_the_parameters_of_a_release_are_those_of_samconfig_where_none_are_passed(tmp_path: Path) -> None:
    """`sam deploy` takes them in the same way; other values are another release."""
    assert read_parameters(ROOT / "samconfig.toml", "default") == [
        "AllowedOrigins=*",
        "LogRetentionDays=7",
        "LogLevel=DEBUG",
        "DatabaseMinCapacity=0.5",
        "DatabaseBackupDays=1",
        "DatabaseDeletionProtection=false",
        "DeploymentPreference=AllAtOnce",
    ]
    assert read_parameters(ROOT / "samconfig.toml", "prod") == []
    guided = tmp_path / "samconfig.toml"  # as `sam deploy --guided` saves the answers
    saved = r"AllowedOrigins=\"https://a.test,https://b.test\" Limits=\"{}\" AlarmMailbox=\"\""
    guided.write_text(f'[prod.deploy.parameters]\nparameter_overrides = "{saved}"\n', encoding="utf-8")
    answers = parse_parameters(read_parameters(guided, "prod"))
    assert answers == {"AllowedOrigins": "https://a.test,https://b.test", "Limits": "{}", "AlarmMailbox": ""}
    build = BEFORE.build_in(tmp_path)
    assert compute_release(build, {"LogLevel": "DEBUG"}) != compute_release(build, {"LogLevel": "INFO"})
    assert parse_parameters(['Limits={"read": [1, 60]}', "A=b=c"]) == {"Limits": '{"read": [1, 60]}', "A": "b=c"}


def test_what_cannot_be_released_is_refused(tmp_path: Path) -> None:
    """Nothing was built, it was not stamped, it has no place for a stamp, or a parameter is none."""
    with pytest.raises(NoBuild, match="sam build"):
        stamp_build(tmp_path, [])
    with pytest.raises(NoBuild, match="make deploy"):
        read_release(TEXT)
    with pytest.raises(NoBuild, match="RELEASE"):
        insert_release("Resources: {}\n", "0123456789ab")
    with pytest.raises(ValueError, match="LogLevel"):
        parse_parameters(["LogLevel"])


def test_the_pipeline_types_are_text() -> None:
    """YAML 1.1 takes a bare on for true, which a parameter's allowed values must not be."""
    parameter: dict[str, Any] = read_template(TEXT)["Parameters"]["DatabasePipeline"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("on", ["on", "off"])
