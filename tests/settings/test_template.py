"""Each number, switch and schedule of the template is stated here once, from the contract; another is a decision."""

import pytest

from tests.settings.alarms import ALARMS, Watch
from tests.settings.deployed import Value, list_template_values, load_template

AN_API_FUNCTION, A_SIDE_FUNCTION = 190, 100
SIX_WORKERS, SIX_RELAYS = 6 * 60, 6 * 30  # a message stays hidden for six timeouts of its consumer
LEAST_CONCURRENCY = 2  # of an event source mapping, by Lambda
DAY, MINUTE = 86_400, 60
FUNCTIONS = ["Agents", "Members", "Claims", "Health", "Pages", "Jobs", "Relay", "Worker", "Housekeeping", "Admin",
             "Migration"]  # fmt: skip


def _reserve(name: str, executions: int) -> dict[str, Value]:
    """Return what a function reserves if the stack reserves any."""
    return {f"{name}Function/ReservedConcurrentExecutions/Fn::If/1": executions}


def _choose(place: str, reserved: int, small: int) -> dict[str, Value]:
    """A value that a stack without reserved concurrency has smaller."""
    return {f"{place}/Fn::If/1": reserved, f"{place}/Fn::If/2": small}


def _throttle(place: int, rate: tuple[int, int], burst: tuple[int, int]) -> dict[str, Value]:
    """A method's throttle, with and without reserved concurrency."""
    return {
        f"Api/MethodSettings/{place}/MetricsEnabled": True,
        **_choose(f"Api/MethodSettings/{place}/ThrottlingRateLimit", *rate),
        **_choose(f"Api/MethodSettings/{place}/ThrottlingBurstLimit", *burst),
    }


def _throttle_always(place: int, rate: int, burst: int) -> dict[str, Value]:
    """A method's throttle, whatever is reserved."""
    return {
        f"Api/MethodSettings/{place}/MetricsEnabled": True,
        f"Api/MethodSettings/{place}/ThrottlingRateLimit": rate,
        f"Api/MethodSettings/{place}/ThrottlingBurstLimit": burst,
    }


def _queue(name: str, *, hidden: int) -> dict[str, Value]:
    """Return the values of a queue, which keeps jobs for four days, and of its dead-letter queue, which keeps them
    longest.
    """
    return {
        f"Queue{name}/VisibilityTimeout": hidden,
        f"Queue{name}/MessageRetentionPeriod": 4 * DAY,
        f"Queue{name}/SqsManagedSseEnabled": True,
        f"Queue{name}/RedrivePolicy/maxReceiveCount": 5,
        f"DeadLetter{name}/MessageRetentionPeriod": 14 * DAY,
        f"DeadLetter{name}/SqsManagedSseEnabled": True,
    }


def _mapping(name: str, *, batch: int, at_once: int) -> dict[str, Value]:
    return {
        f"{name}Mapping/Enabled/Fn::If/1": True,
        f"{name}Mapping/Enabled/Fn::If/2": False,
        f"{name}Mapping/BatchSize": batch,
        **(
            {f"{name}Mapping/ScalingConfig/MaximumConcurrency": at_once}
            if at_once == LEAST_CONCURRENCY
            else _choose(f"{name}Mapping/ScalingConfig/MaximumConcurrency", at_once, LEAST_CONCURRENCY)
        ),
    }


def _alarm(name: str, watch: Watch) -> dict[str, Value]:
    needed, of = watch.datapoints
    return {
        f"{name}/Period": watch.period_s,
        f"{name}/EvaluationPeriods": of,
        f"{name}/DatapointsToAlarm": needed,
        f"{name}/Threshold": watch.threshold,
    }


VALUES: dict[str, Value] = {
    # ---- the functions
    "Globals/Function/MemorySize": 1024,
    "Globals/Function/Timeout": 28,
    **_reserve("Agents", AN_API_FUNCTION),
    **_reserve("Members", AN_API_FUNCTION),
    **_reserve("Claims", AN_API_FUNCTION),
    **_reserve("Health", A_SIDE_FUNCTION),
    "HealthFunction/Timeout": 10,
    "HealthFunction/Events/EveryMinute/Properties/Schedule": "rate(1 minute)",
    **_reserve("Pages", A_SIDE_FUNCTION),
    "PagesFunction/Timeout": 10,
    **_reserve("Jobs", A_SIDE_FUNCTION),
    **_reserve("Relay", 2),
    "RelayFunction/Timeout": 30,
    "RelayFunction/Events/EveryMinute/Properties/Schedule": "rate(1 minute)",
    **_reserve("Worker", 10 + 4 + 2),
    "WorkerFunction/Timeout": 60,
    "WorkerFunction/Policies/0/Statement/4/Resource/1/Fn::Sub/1/Domain/Fn::Select/0": 1,
    **_reserve("Housekeeping", 1),
    "HousekeepingFunction/Timeout": 300,
    "HousekeepingFunction/Events/EveryHour/Properties/Schedule": "rate(1 hour)",
    **_reserve("Admin", 1),
    "AdminFunction/Timeout": 900,
    **_reserve("Migration", 1),
    "MigrationFunction/Timeout": 900,
    "Migration/ServiceTimeout": 900 + MINUTE,  # longer than the function may take, and shorter than an hour
    "PreTrafficFunction/MemorySize": 256,
    "PreTrafficFunction/Timeout": 300,
    # ---- the gateway
    "Api/TracingEnabled": True,
    "Api/AlwaysDeploy": True,
    "SharedLayer/PublishLambdaVersion": True,
    **{f"{name}Function/AutoPublishAliasAllProperties": True for name in FUNCTIONS},
    "Api/MinimumCompressionSize": 1024,
    **_throttle(0, (50, 5), (50, 5)),
    **_throttle(1, (30, 5), (20, 5)),
    **_throttle_always(2, 5, 5),
    **_throttle(3, (5, 2), (20, 5)),
    **_throttle_always(4, 2, 5),
    # ---- the queues
    **_queue("High", hidden=SIX_WORKERS),
    **_queue("Normal", hidden=SIX_WORKERS),
    **_queue("Low", hidden=SIX_WORKERS),
    "NudgeQueue/VisibilityTimeout": SIX_RELAYS,
    "NudgeQueue/MessageRetentionPeriod": 5 * MINUTE,
    "NudgeQueue/SqsManagedSseEnabled": True,
    **_mapping("High", batch=1, at_once=10),
    **_mapping("Normal", batch=5, at_once=4),
    **_mapping("Low", batch=10, at_once=2),
    **_mapping("Nudge", batch=10, at_once=2),
    # ---- identity
    "UserPool/UsernameConfiguration/CaseSensitive": False,
    "UserPool/AdminCreateUserConfig/AllowAdminCreateUserOnly": True,
    "UserPool/AccountRecoverySetting/RecoveryMechanisms/0/Priority": 1,
    "UserPool/Policies/PasswordPolicy/MinimumLength": 12,
    "UserPool/Policies/PasswordPolicy/RequireLowercase": False,
    "UserPool/Policies/PasswordPolicy/RequireUppercase": False,
    "UserPool/Policies/PasswordPolicy/RequireNumbers": False,
    "UserPool/Policies/PasswordPolicy/RequireSymbols": False,
    "UserPool/Policies/PasswordPolicy/TemporaryPasswordValidityDays": 7,
    "UserPoolClient/GenerateSecret": False,
    "UserPoolClient/EnableTokenRevocation": True,
    "UserPoolClient/AccessTokenValidity": 60,
    "UserPoolClient/IdTokenValidity": 60,
    "UserPoolClient/RefreshTokenValidity": 30,
    "MemberGroup/Precedence": 40,
    "AgentGroup/Precedence": 30,
    "StaffGroup/Precedence": 20,
    "AdminGroup/Precedence": 10,
    # ---- what is kept
    "StateTable/TimeToLiveSpecification/Enabled": True,
    "StateTable/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled": False,
    "StateTable/SSESpecification/SSEEnabled": True,
    "EvidenceBucket/PublicAccessBlockConfiguration/BlockPublicAcls": True,
    "EvidenceBucket/PublicAccessBlockConfiguration/BlockPublicPolicy": True,
    "EvidenceBucket/PublicAccessBlockConfiguration/IgnorePublicAcls": True,
    "EvidenceBucket/PublicAccessBlockConfiguration/RestrictPublicBuckets": True,
    "EvidenceBucket/CorsConfiguration/CorsRules/0/MaxAge": 7200,
    "EvidenceBucket/LifecycleConfiguration/Rules/0/NoncurrentVersionExpiration/NoncurrentDays": 30,
    "EvidenceBucket/LifecycleConfiguration/Rules/0/ExpiredObjectDeleteMarker": True,
    "EvidenceBucket/LifecycleConfiguration/Rules/1/NoncurrentVersionExpiration/NoncurrentDays": 1,
    "EvidenceBucket/LifecycleConfiguration/Rules/2/AbortIncompleteMultipartUpload/DaysAfterInitiation": 1,
    "EvidenceBucket/LifecycleConfiguration/Rules/3/ExpirationInDays": 2,
    "CursorSecret/GenerateSecretString/PasswordLength": 48,
    "CursorSecret/GenerateSecretString/ExcludePunctuation": True,
    "AddressSecret/GenerateSecretString/PasswordLength": 48,
    "AddressSecret/GenerateSecretString/ExcludePunctuation": True,
    # ---- alarms
    # The hook's five minutes, and two until Lambda's count is seen.
    "LookTomorrowAlarm/ActionsSuppressorWaitPeriod": 7 * MINUTE,
    "LookTomorrowAlarm/ActionsSuppressorExtensionPeriod": MINUTE,
    **{place: value for name, watch in ALARMS.items() for place, value in _alarm(name, watch).items()},
}


def _differences(found: dict[str, Value]) -> dict[str, tuple[Value | None, Value | None]]:
    """Return what is deployed and what was decided, for each place where they differ; None where there is nothing."""
    places = {place for place in {*found, *VALUES} if repr(found.get(place)) != repr(VALUES.get(place))}
    return {place: (found.get(place), VALUES.get(place)) for place in sorted(places)}


def test_every_value_of_the_template_is_the_one_decided_on() -> None:
    """A number, switch or schedule that is new, gone or another: state it in VALUES too, with its reason."""
    assert _differences(list_template_values(load_template())) == {}


@pytest.mark.parametrize("place", VALUES)
def test_a_change_of_any_value_is_seen(place: str) -> None:
    """A hundredfold, or the opposite, or another schedule; and only that one is named."""
    value = VALUES[place]
    other: Value = not value if isinstance(value, bool) else f"{value}s" if isinstance(value, str) else value * 100 + 1
    assert list(_differences(VALUES | {place: other})) == [place]


def test_tokens_are_valid_for_what_was_decided_on() -> None:
    """The numbers mean nothing without their units."""
    client = load_template()["Resources"]["UserPoolClient"]["Properties"]
    units = {"AccessToken": "minutes", "IdToken": "minutes", "RefreshToken": "days"}
    assert client["TokenValidityUnits"] == units


def test_only_what_belongs_to_no_document_expires_in_the_bucket() -> None:
    """The rule of two days is for uploads; of evidence only what was deleted or replaced goes."""
    rules = load_template()["Resources"]["EvidenceBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule["Id"]: (rule["Status"], rule.get("Prefix"), "ExpirationInDays" in rule) for rule in rules} == {
        "deleted-evidence": ("Enabled", "claims/", False),
        "deleted-uploads": ("Enabled", "uploads/", False),
        "unfinished-uploads": ("Enabled", None, False),
        "left-uploads": ("Enabled", "uploads/", True),
    }
