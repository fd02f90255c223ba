"""The gateway gets what is deployed to the emulator."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.deploy import DeployFailed, EmulatorClients, deploy, hash_inputs, is_deployed
from local.stack import DeployedRoute, Schedule, Stack
from local.stack_reader import decode_path, parse_rate, read_stack, replace_addresses
from local.template import list_code_folders, read_template
from tests.local.emulators import start_emulator

CLOUD = Path(__file__).with_name("cloud")
TEMPLATE = (CLOUD / "template.yaml").read_text()
PARAMETERS = {
    "EventSources": "DISABLED",
    "DatabasePort": "6543",
    "AllowedOrigins": "https://a.example.test,https://b.example.test",
}


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorClients]:
    """Yield an emulator of its own, the small stack deployed."""
    with start_emulator(tmp_path_factory.mktemp("emulator")) as (made, _):
        deploy(made, TEMPLATE, {**PARAMETERS, "NotOfThisTemplate": "left out"})
        yield made


@pytest.fixture(scope="module")
def stack(clients: EmulatorClients) -> Stack:
    """Return the small stack, read back."""
    return read_stack(clients, list_code_folders(read_template(TEMPLATE), CLOUD), [Path("/layer")])


def test_a_function_is_read_back_with_its_resolved_environment(stack: Stack) -> None:
    """Parameters, references and the generated secret are values, not references."""
    rooms = stack.find_function("RoomsFunction")
    assert (rooms.handler, rooms.timeout_s, rooms.memory_mb) == ("rooms.app.handler", 29, 512)
    assert rooms.code_dir == str(CLOUD / "functions/rooms")
    assert rooms.layer_dirs == ["/layer"]
    assert rooms.environment["DB_PORT"] == "6543"
    assert rooms.environment["USER_POOL_ID"] == stack.user_pool_id
    assert rooms.environment["MIGRATIONS_DIR"] == "/layer/migrations"
    assert len(rooms.environment["CURSOR_SECRET"]) == 48


def test_reserved_concurrency_is_read_back_although_the_emulator_forgets_it(stack: Stack) -> None:
    """None where the template reserves none."""
    assert {f.logical_id: f.reserved_concurrency for f in stack.functions} == {
        "RoomsFunction": 20,
        "TasksFunction": None,
        "AdminFunction": 1,
    }


def test_routes_have_their_authorizer_and_their_throttle(stack: Stack) -> None:
    """ANY methods too, which the emulator's API Gateway drops."""
    assert stack.routes == [
        DeployedRoute("ANY", "/rooms", "RoomsFunction", False, None, None),
        DeployedRoute("GET", "/rooms", "RoomsFunction", True, None, None),
        DeployedRoute("POST", "/rooms", "RoomsFunction", False, 5.0, 10),
        DeployedRoute("GET", "/rooms/{room_id}", "RoomsFunction", True, None, None),
        DeployedRoute("ANY", "/{proxy+}", "RoomsFunction", False, None, None),
    ]
    assert (stack.stage, stack.stage_rate, stack.stage_burst) == ("api", 200.0, 400)


def test_event_sources_are_read_back_although_they_are_deployed_disabled(stack: Stack) -> None:
    """The gateway polls and schedules; the emulator must not."""
    [source] = stack.queue_sources
    assert (source.function, source.batch_size, source.batch_window_s) == ("TasksFunction", 5, 1.0)
    assert (source.max_concurrency, source.partial_failures) == (10, True)
    assert source.queue_url == stack.find_function("TasksFunction").environment["QUEUE_HIGH_URL"]
    assert stack.schedules == [Schedule("TasksFunction", 60.0, {"sweep": True})]


def test_the_gateways_own_answers_are_read_back(stack: Stack) -> None:
    """Gateway responses, binary types, origins."""
    [throttled] = stack.gateway_responses
    assert (throttled.response_type, throttled.status, throttled.headers) == ("THROTTLED", 429, {"Retry-After": "'1'"})
    assert throttled.templates == {"application/problem+json": '{"status":429,"instance":"$context.requestId"}'}
    assert stack.binary_media_types == ["image/png"]
    assert stack.allowed_origins == ["https://a.example.test", "https://b.example.test"]


def test_a_stack_is_the_same_after_saving_and_loading(stack: Stack, tmp_path: Path) -> None:
    """The gateway sees what was read back."""
    stack.save(tmp_path / "stack.json")
    assert Stack.load(tmp_path / "stack.json") == stack


def test_deploying_again_updates_and_keeps_what_is_in_the_pool(clients: EmulatorClients, stack: Stack) -> None:
    """The second deployment changes a parameter, not the resources."""
    deploy(clients, TEMPLATE, {**PARAMETERS, "DatabasePort": "6544"})
    again = read_stack(clients, list_code_folders(read_template(TEMPLATE), CLOUD), [Path("/layer")])
    assert again.find_function("RoomsFunction").environment["DB_PORT"] == "6544"
    assert (
        again.find_function("RoomsFunction").environment["CURSOR_SECRET"]
        == stack.find_function("RoomsFunction").environment["CURSOR_SECRET"]
    )
    assert again.user_pool_id == stack.user_pool_id
    assert is_deployed(clients)


def test_a_broken_template_is_refused_with_the_reason(clients: EmulatorClients) -> None:
    """A misspelt reference is named."""
    with pytest.raises(DeployFailed, match="StateTabel"):
        deploy(clients, TEMPLATE.replace("!Ref StateTable", "!Ref StateTabel"), PARAMETERS)


def test_a_deployment_is_skipped_only_while_nothing_it_depends_on_has_changed() -> None:
    """Template, parameters and address count."""
    same = hash_inputs("t", {"a": "1"}, "http://e")
    assert hash_inputs("t", {"a": "1"}, "http://e") == same
    others = {
        hash_inputs("u", {"a": "1"}, "http://e"),
        hash_inputs("t", {"a": "2"}, "http://e"),
        hash_inputs("t", {"a": "1"}, "http://f"),
    }
    assert len(others | {same}) == 4


def test_queue_addresses_follow_the_emulator_to_another_port() -> None:
    """The emulator keeps the port that a queue was made on."""
    environment = {"QUEUE_URL": "http://127.0.0.1:1/000000000000/q", "APP_URL": "http://127.0.0.1:1/app"}
    assert replace_addresses(environment, "http://127.0.0.1:2") == {
        "QUEUE_URL": "http://127.0.0.1:2/000000000000/q",
        "APP_URL": "http://127.0.0.1:1/app",
    }


@pytest.mark.parametrize(
    ("written", "path"), [("/*", "/*"), ("/~1rooms~1deep", "/rooms/deep"), ("/rooms", "/rooms"), ("/", "/")]
)
def test_a_resource_path_of_method_settings_is_unescaped(written: str, path: str) -> None:
    """CloudFormation writes ~1 for each slash after the first."""
    assert decode_path(written) == path


def test_a_rate_is_read_in_seconds_and_a_calendar_is_refused() -> None:
    """Nothing is run at a time it was not asked for."""
    assert (parse_rate("rate(1 minute)"), parse_rate("rate(2 hours)")) == (60, 7200)
    with pytest.raises(ValueError, match="cron"):
        parse_rate("cron(0 3 * * ? *)")
