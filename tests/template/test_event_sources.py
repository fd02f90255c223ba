"""Functions, queues, schedules and the layer fit each other."""

import json
import re
from collections.abc import Iterator

import pytest
from cfnlint.api import ManualArgs, lint

from shared.api.responses import SECURITY_HEADERS
from shared.settings import Settings
from tests.services import ROOT
from tests.template.translation import REGION, Json, find_by_type, load_template, translate
from worker.app import MOST_DELIVERIES

FUNCTIONS = {
    "AgentsFunction": ("agents.app.handler", 190),
    "MembersFunction": ("members.app.handler", 190),
    "ClaimsFunction": ("claims.app.handler", 190),
    "HealthFunction": ("health.app.handler", 100),
    "PagesFunction": ("pages.app.handler", 100),
    "JobsFunction": ("jobs_api.app.handler", 100),
    "RelayFunction": ("relay.app.handler", 2),
    "WorkerFunction": ("worker.app.handler", 16),
    "HousekeepingFunction": ("housekeeping.app.handler", 1),
    "AdminFunction": ("operations.app.handler", 1),
    "MigrationFunction": ("migration.app.handler", 1),
}
HOOK = "PreTrafficFunction"
VARIABLES = """
SERVICE_VERSION RELEASE DB_HOST DB_PORT DB_NAME DB_AUTH DB_SSLMODE DB_SSLROOTCERT DB_PIPELINE DB_MAX_CONNECTIONS
DB_CONNECT_TIMEOUT DB_IDLE_TIMEOUT DB_MAX_LIFETIME STATE_TABLE QUEUE_HIGH_URL QUEUE_NORMAL_URL
QUEUE_LOW_URL NUDGE_QUEUE_URL EVIDENCE_BUCKET USER_POOL_ID USER_POOL_CLIENT_ID MAIL_SENDER MAIL_RATE MAIL_BURST
DESK_MAILBOX DESK_LANGUAGE APP_URL ALLOWED_ORIGINS COUNTRY LIMITS CIRCUITS RETRY
POWERTOOLS_SERVICE_NAME POWERTOOLS_METRICS_NAMESPACE LOG_LEVEL STACK_NAME
"""
# Who connects to the database, who signs the cursors of lists, who counts limits by hashed address.
USER, PASSWORD, CURSORS, ADDRESSES = "DB_USER", "DB_PASSWORD", "CURSOR_SECRET", "ADDRESS_SECRET"
SECRETS = {
    "AgentsFunction": {PASSWORD, CURSORS, ADDRESSES},
    "MembersFunction": {PASSWORD, CURSORS, ADDRESSES},
    "ClaimsFunction": {PASSWORD, CURSORS, ADDRESSES},
    "HealthFunction": {PASSWORD, ADDRESSES},
    "PagesFunction": {ADDRESSES},
    "JobsFunction": {PASSWORD, CURSORS, ADDRESSES},
    "RelayFunction": {PASSWORD},
    "WorkerFunction": {PASSWORD},
    "HousekeepingFunction": {PASSWORD},
    "AdminFunction": {PASSWORD},  # the schema owner's
    "MigrationFunction": {PASSWORD},  # the same
}
READ_BY_LOGGING = ("POWERTOOLS_", "LOG_LEVEL", "STACK_NAME")
SET_BY_LAMBDA = {"aws_region", "aws_endpoint_url"}
UPLOADED = "https://s3.eu-central-1.amazonaws.com/an-artifact-bucket/database.template"  # by `sam deploy`
PAUSABLE = {"Fn::If": ["EventSourcesOn", True, False]}


def list_mappings() -> Iterator[tuple[str, str, Json]]:
    """Yield each event source mapping: its queue, its function, its properties."""
    for mapping in find_by_type(translate(), "AWS::Lambda::EventSourceMapping").values():
        queue = mapping["EventSourceArn"]["Fn::GetAtt"][0]
        yield queue, mapping["FunctionName"]["Ref"].removesuffix("Aliaslive"), mapping


def test_the_worker_knows_the_last_delivery_of_a_message() -> None:
    """It ends the message before SQS moves it to the dead-letter queue."""
    queues = find_by_type(translate(), "AWS::SQS::Queue")
    worked = [queues[queue] for queue, function, _ in list_mappings() if function == "WorkerFunction"]
    assert [queue["RedrivePolicy"]["maxReceiveCount"] for queue in worked] == [MOST_DELIVERIES] * 3


def test_the_functions_are_the_ones_decided_on() -> None:
    """Name, handler and reserved concurrency; the alias `live` is what is called."""
    functions = find_by_type(translate(), "AWS::Lambda::Function")
    aliases = find_by_type(translate(), "AWS::Lambda::Alias")

    assert functions.pop(HOOK)["Handler"] == "pretraffic.app.handler"  # CodeDeploy's, which it calls without an alias
    found = {n: (f["Handler"], f["ReservedConcurrentExecutions"]) for n, f in functions.items()}
    nothing = {"Ref": "AWS::NoValue"}
    assert found == {
        name: (handler, {"Fn::If": ["ReservesConcurrency", reserved, nothing]})
        for name, (handler, reserved) in FUNCTIONS.items()
    }
    assert {f["Runtime"] for f in functions.values()} == {"python3.13"}
    assert {(a["FunctionName"]["Ref"], a["Name"]) for a in aliases.values()} == {(name, "live") for name in FUNCTIONS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_given_the_settings_it_needs(name: str) -> None:
    """Each variable of the settings is set on each function, and none that nobody reads; of secrets only its own."""
    variables = find_by_type(translate(), "AWS::Lambda::Function")[name]["Environment"]["Variables"]

    user = {USER} if PASSWORD in SECRETS[name] else set()
    assert set(variables) == set(VARIABLES.split()) | SECRETS[name] | user
    every = {USER}.union(*SECRETS.values()) | {v for v in variables if not v.startswith(READ_BY_LOGGING)}
    assert set(Settings.model_fields) - SET_BY_LAMBDA == {variable.lower() for variable in every}


def test_what_is_resolved_from_a_secret_stands_nowhere_else() -> None:
    """No other variable of a function holds one."""
    for name, function in find_by_type(translate(), "AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        found = {variable for variable, value in variables.items() if "resolve:secretsmanager" in json.dumps(value)}
        assert found == SECRETS.get(name, set()), name


def test_an_api_function_gives_up_before_the_gateway_does() -> None:
    """API Gateway stops waiting after 29 s; an answer of ours has to leave before."""
    functions = find_by_type(translate(), "AWS::Lambda::Function")

    assert {functions[name]["Timeout"] < 29 for name in list(FUNCTIONS)[:6]} == {True}


def test_a_message_stays_hidden_for_six_timeouts_of_its_consumer() -> None:
    """Less, and a message comes back while its first receiver still works on it."""
    template = translate()
    queues, functions = find_by_type(template, "AWS::SQS::Queue"), find_by_type(template, "AWS::Lambda::Function")

    for queue, function, _ in list_mappings():
        assert queues[queue]["VisibilityTimeout"] >= 6 * functions[function]["Timeout"], queue


def test_each_priority_has_its_own_share_of_the_worker() -> None:
    """Low can't starve high: what each may use at once is bounded, and together it fits the worker."""
    shares = {q: m["ScalingConfig"]["MaximumConcurrency"] for q, f, m in list_mappings() if f == "WorkerFunction"}

    high, normal = ({"Fn::If": ["ReservesConcurrency", most, 2]} for most in (10, 4))
    assert shares == {"QueueHigh": high, "QueueNormal": normal, "QueueLow": 2}
    assert FUNCTIONS["WorkerFunction"][1] == 10 + 4 + 2


def test_one_bad_job_does_not_take_its_batch_along() -> None:
    """The worker reports single failures, and what keeps failing ends in the queue's own dead letters."""
    queues = find_by_type(translate(), "AWS::SQS::Queue")

    for queue, function, mapping in list_mappings():
        if function == "WorkerFunction":
            redrive = queues[queue]["RedrivePolicy"]
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": [queue.replace("Queue", "DeadLetter"), "Arn"]}


def test_one_parameter_pauses_every_event_source() -> None:
    """EventSources reaches each mapping and each schedule as a value that really differs."""
    schedules = find_by_type(translate(), "AWS::Events::Rule")

    assert {json.dumps(mapping["Enabled"]) for _, _, mapping in list_mappings()} == {json.dumps(PAUSABLE)}
    assert {name: rule["State"] for name, rule in schedules.items()} == {
        "HealthFunctionEveryMinute": {"Ref": "EventSources"},
        "RelayFunctionEveryMinute": {"Ref": "EventSources"},
        "HousekeepingFunctionEveryHour": {"Ref": "EventSources"},
    }


def test_the_layer_is_built_for_the_processor_it_runs_on() -> None:
    """The three places that name it agree; the makefile's wheels would not load on the other one."""
    template = load_template()
    makefile = (ROOT / "layers/shared/Makefile").read_text()
    architecture = template["Parameters"]["Architecture"]["Default"]

    assert template["Resources"]["SharedLayer"]["Metadata"]["BuildArchitecture"] == architecture
    assert re.findall(r"^LAYER_ARCHITECTURE \?= (\w+)$", makefile, re.M) == [architecture]


def test_every_log_is_kept_for_a_time_and_no_longer() -> None:
    """Each function, and the gateway, writes to a group of its own with a retention."""
    template = translate()
    groups = find_by_type(template, "AWS::Logs::LogGroup")
    used = [f["LoggingConfig"]["LogGroup"]["Ref"] for f in find_by_type(template, "AWS::Lambda::Function").values()]

    [stage] = find_by_type(template, "AWS::ApiGateway::Stage").values()
    used.append(stage["AccessLogSetting"]["DestinationArn"]["Fn::GetAtt"][0])

    assert sorted(used) == sorted(groups)
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


def test_the_state_table_has_no_copies_that_outlive_it() -> None:
    """Answers with personal data live a day in it, and all of it may be lost."""
    [table] = find_by_type(translate(), "AWS::DynamoDB::Table").values()

    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": False}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_deleted_evidence_can_be_had_back_for_a_while_and_no_longer() -> None:
    """The bucket keeps versions, and every prefix has a rule that ends them."""
    [bucket] = find_by_type(translate(), "AWS::S3::Bucket").values()
    rules = bucket["LifecycleConfiguration"]["Rules"]
    kept = {
        rule["Prefix"]: rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule
    }

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert kept == {"claims/": {"NoncurrentDays": 30}, "uploads/": {"NoncurrentDays": 1}}
    assert all(rule["Status"] == "Enabled" for rule in rules)


def test_what_the_transform_makes_is_clean_for_the_linter() -> None:
    """cfn-lint over the translated template, where it sees what the transform adds."""
    template = translate()
    template["Resources"]["Database"]["Properties"]["TemplateURL"] = UPLOADED
    found = lint(json.dumps(template), config=ManualArgs(regions=[REGION]))

    assert [str(match) for match in found] == []


def test_the_settings_page_names_every_parameter_and_its_default() -> None:
    """Its first table is the template's parameters, no more and no less."""
    page = (ROOT / "docs/reference/settings.md").read_text().partition("\n## Environment")[0]
    rows = re.findall(r"^\| (`[A-Z].*?) \| (.*?) \|", page, re.M)
    given = [
        (name, default.strip("`"))
        for names, defaults in rows
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
    ]
    parameters = load_template()["Parameters"].items()

    assert dict(given) == {name: str(p.get("Default", "required") or "empty") for name, p in parameters}


def test_the_gateways_own_answers_carry_the_functions_security_headers() -> None:
    """Written there in quotes, as API Gateway takes a fixed value; and each has an id to be quoted."""
    answers = load_template()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    for name, answer in answers.items():
        headers = answer["ResponseParameters"]["Headers"]
        assert {each: headers.get(each) for each in SECURITY_HEADERS} == {
            each: f"'{value}'" for each, value in SECURITY_HEADERS.items()
        }, name
        assert headers["X-Request-Id"] == "context.extendedRequestId", name
        assert headers["Content-Type"] == "'application/problem+json'", name
