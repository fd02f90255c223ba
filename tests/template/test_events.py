"""events/ has one file for each route and trigger of the template, and each has its answer in the table."""

import re
from pathlib import Path

import pytest

from operations.app import COMMANDS
from tests.sam import answers
from tests.services import ROOT
from tests.template.test_routes import ANY, function_of, load_api
from tests.template.translation import DATABASE, TEMPLATE, find_by_type, load_template, translate
from tools.events import __main__ as tool
from tools.events.event_files import CLIENT_ID, SampleMissing, find_routes, find_sample
from tools.events.requests import REQUESTS

FUNCTION = "AWS::Serverless::Function"
DEPLOYMENTS_OWN = {"MigrationFunction", "SetupFunction", "PreTrafficFunction"}
ROUTES = {
    (resource, "ANY" if method == ANY else method.upper(), function_of(operation))
    for resource, methods in load_api()["paths"].items()
    for method, operation in methods.items()
}
EVENTS = {name: answers.load_event(name) for name in answers.list_names()}


def test_every_route_has_an_event() -> None:
    """And every event of a request is one of its function's route."""
    named = {
        (event["resource"], Path(name).name.partition("_")[0].upper(), answers.find_function(name))
        for name, event in EVENTS.items()
        if "httpMethod" in event
    }
    assert named == ROUTES


def test_an_event_of_a_route_has_its_method() -> None:
    """That of a route for any method has one that its path doesn't serve."""
    for name, event in EVENTS.items():
        if "httpMethod" in event:
            method = Path(name).name.partition("_")[0].upper()
            served = {served for resource, served, _ in ROUTES if resource == event["resource"]}
            assert event["httpMethod"] == method or (method == "ANY" and event["httpMethod"] not in served), name


def test_every_queue_has_an_event_of_its_function() -> None:
    """Its messages come from that queue."""
    mappings = find_by_type(translate(), "AWS::Lambda::EventSourceMapping").values()
    wanted = {(m["EventSourceArn"]["Fn::GetAtt"][0], m["FunctionName"]["Ref"].partition("Alias")[0]) for m in mappings}
    made = {
        (event["Records"][0]["eventSourceARN"].rpartition("-")[2], answers.find_function(name))
        for name, event in EVENTS.items()
        if "Records" in event
    }
    assert made == wanted
    assert len(made) == 4


def test_every_schedule_has_an_event_of_its_function() -> None:
    """The constant input if it has one, else EventBridge's."""
    functions = find_by_type(load_template(), "AWS::Serverless::Function")
    scheduled = {
        (name, re.sub(r"(?<!^)(?=[A-Z])", "_", event).lower())
        for name, function in functions.items()
        for event, source in function.get("Events", {}).items()
        if source["Type"] == "Schedule"
    }
    made = {
        (answers.find_function(name), Path(name).name)
        for name, event in EVENTS.items()
        if "httpMethod" not in event and ("interdomestik.schedule" in event.values() or "aws.events" in event.values())
    }
    assert made == scheduled
    assert len(made) == 3


def test_every_command_has_an_event() -> None:
    """Of the operators' function."""
    commands = {event["command"] for name, event in EVENTS.items() if name.startswith("operations/")}
    assert commands == set(COMMANDS)


def test_only_functions_that_a_deployment_calls_have_no_event() -> None:
    """They answer to an address that the deployment names; the guide says which they are."""
    functions = {name for path in (TEMPLATE, DATABASE) for name in find_by_type(load_template(path), FUNCTION)}
    guide = (ROOT / "docs/how-to/run-with-sam-local.md").read_text(encoding="utf-8")
    assert functions - set(map(answers.find_function, EVENTS)) == DEPLOYMENTS_OWN
    assert [name for name in DEPLOYMENTS_OWN if f"`{name}`" not in guide] == []


def test_the_files_are_what_the_tool_makes() -> None:
    """As `make lint` asks."""
    assert tool.main(["--check"]) == 0


def test_every_event_has_its_answer() -> None:
    """And no answer is left of an event that is gone."""
    assert set(answers.load_table()) == set(EVENTS)


def test_claims_are_of_the_client_that_the_environment_names() -> None:
    """`sam local` has no authorizer: what the gateway would have verified is in the event."""
    clients = {
        event["requestContext"]["authorizer"]["claims"]["client_id"]
        for event in EVENTS.values()
        if event.get("requestContext", {}).get("authorizer")
    }
    assert clients == {CLIENT_ID}


def test_every_record_of_an_event_is_written() -> None:
    """The ids that events name are those of events/records.sql, but for those that nobody has."""
    written = (answers.EVENTS / "records.sql").read_text(encoding="utf-8")
    named = {value for event in EVENTS.values() for value in (event.get("pathParameters") or {}).values()}
    ids = {value for value in named if value.startswith("00000000-") and not value.endswith("0000")}
    missing = [value for value in ids if value not in written and f"('{value[-2:]}'" not in written]
    assert len(ids) > 15
    assert missing == []


def test_a_file_that_is_gone_or_changed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--check` fails for one that is missing, one that is edited and one that nothing needs."""
    monkeypatch.setattr(tool, "FOLDER", tmp_path)
    assert tool.main([]) == 0
    assert tool.main(["--check"]) == 0
    changes = {
        "claims/get_claims.json": None,
        "claims/post_claims.json": "{}\n",
        "claims/get_nothing.json": "{}\n",
    }
    for path, text in changes.items():
        before = (tmp_path / path).read_text(encoding="utf-8") if (tmp_path / path).exists() else None
        if text is None:
            (tmp_path / path).unlink()
        else:
            (tmp_path / path).write_text(text, encoding="utf-8")
        assert tool.main(["--check"]) == 1, path
        assert tool.main([]) == 0
        assert tool.main(["--check"]) == 0
        after = (tmp_path / path).read_text(encoding="utf-8") if (tmp_path / path).exists() else None
        assert after == before


def test_a_route_without_a_sample_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new route fails the generation until somebody says what to send."""
    functions = find_by_type(load_template(), "AWS::Serverless::Function")
    [route] = [r for r in find_routes(functions) if (r.method, r.resource) == ("GET", "/claims")]
    monkeypatch.delitem(REQUESTS, "GET /claims")
    with pytest.raises(SampleMissing, match="GET /claims"):
        find_sample(route, set())
