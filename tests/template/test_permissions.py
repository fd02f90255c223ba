"""No function may do more than its work needs."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from local.postgres import OWNER
from shared.admission.ports import KeyUse, LimitCharge, RateLimit
from shared.aws.dynamodb_admission_items import make_bucket_key, make_record_key
from tests.roles import FUNCTIONS
from tests.template.translation import Json, find_by_type, load_template, translate

# What can't be narrowed to a resource, and why.
UNBOUNDED = {("HealthFunctionRole", "ses:GetAccount"): "the account's sending quota is no resource with an ARN"}
MANAGED = {
    "service-role/AWSLambdaBasicExecutionRole": "the transform's own: writing logs",
    "AWSXrayWriteOnlyAccess": "traces are no resource with an ARN",
    "service-role/AWSLambdaVPCAccessExecutionRole": "network interfaces have no ARN before they exist",
    "service-role/AWSCodeDeployRoleForLambda": "CodeDeploy's: moving aliases, reading alarms, invoking its hooks",
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": "the gateway's, for all APIs of the account: writing logs",
}
GATEWAYS_ROLE = "GatewayLoggingRole"
CODEDEPLOYS_ROLE = "CodeDeployServiceRole"
STATE = {f"dynamodb:{name} StateTable" for name in ("GetItem", "PutItem", "UpdateItem", "DeleteItem")}
CIRCUITS = {f"dynamodb:{name} StateTable" for name in ("GetItem", "PutItem")}
WAKE_UP = {"sqs:SendMessage NudgeQueue"}
API_FUNCTION = STATE | WAKE_UP
IDENTITIES = {
    f"cognito-idp:Admin{name} UserPool" for name in ("CreateUser", "AddUserToGroup", "GetUser", "SetUserPassword")
}
ENDING = {
    f"cognito-idp:Admin{name} UserPool"
    for name in ("EnableUser", "DisableUser", "UserGlobalSignOut", "RemoveUserFromGroup", "DeleteUser")
}
# After a restore of the database.
RECONCILING = {
    *("dynamodb:Scan StateTable", "dynamodb:DeleteItem StateTable", "cognito-idp:ListUsers UserPool"),
    *("s3:ListBucket EvidenceBucket", "s3:GetObject EvidenceBucket/claims/*", "s3:PutObject EvidenceBucket/uploads/*"),
}
PRIORITIES = ("QueueHigh", "QueueNormal", "QueueLow")
DEAD_LETTERS = ("DeadLetterHigh", "DeadLetterNormal", "DeadLetterLow")


def list_taking_actions(*queues: str) -> set[str]:
    """Return the actions that an event source mapping needs on its queues."""
    actions = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
    return {f"sqs:{action} {queue}" for action in actions for queue in queues}


MAY = {
    "Agents": API_FUNCTION,
    "Members": API_FUNCTION,
    "Claims": API_FUNCTION
    | {f"s3:{name} EvidenceBucket/*" for name in ("PutObject", "GetObject", "DeleteObject")}
    | {"s3:ListBucket EvidenceBucket"},
    "Health": STATE
    | {"dynamodb:BatchGetItem StateTable"}
    | {f"sqs:GetQueueAttributes {queue}" for queue in (*PRIORITIES, *DEAD_LETTERS, "NudgeQueue")}
    | {"cognito-idp:DescribeUserPool UserPool", "s3:ListBucket EvidenceBucket", "ses:GetAccount *"},
    "Pages": STATE,
    "Jobs": API_FUNCTION,
    "Relay": {f"sqs:SendMessage {queue}" for queue in PRIORITIES}
    | {"dynamodb:UpdateItem StateTable"}
    | list_taking_actions("NudgeQueue"),
    "Worker": STATE
    | WAKE_UP
    | list_taking_actions(*PRIORITIES)
    | {"ses:SendEmail identity/MailSender", "ses:SendEmail identity/Domain"}
    | IDENTITIES,
    "Housekeeping": CIRCUITS | WAKE_UP | {"s3:DeleteObject EvidenceBucket/uploads/*"},
    "Admin": {"rds-db:connect DatabaseOwner"} | CIRCUITS | WAKE_UP | IDENTITIES | ENDING | RECONCILING,
    "Migration": {"rds-db:connect DatabaseOwner"},
    "PreTraffic": {"lambda:InvokeFunction *", "codedeploy:PutLifecycleEventHookExecutionStatus StackName-*"},
}


def name_target(resource: Any) -> str:
    """Return the end of an ARN, with logical ids and parameters for what is only known when deployed."""
    if isinstance(resource, str):
        return resource
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    if isinstance(resource["Fn::Sub"], list) and "Role" in resource["Fn::Sub"][1]:
        role = resource["Fn::Sub"][1]["Role"]
        return " ".join(role["Fn::If"][:2]) if "Fn::If" in role else str(role["Ref"])
    text = resource["Fn::Sub"] if isinstance(resource["Fn::Sub"], str) else resource["Fn::Sub"][0]
    plain = str(text).rsplit(":", 1)[-1].replace(".Arn}", "}").replace("${", "").replace("}", "")
    return plain.removeprefix("DatabaseResourceId/")


def list_values(value: Any) -> list[Any]:
    """Return one value or many as a list."""
    return value if isinstance(value, list) else [value]


def list_allowed(role: Json) -> Iterator[Json]:
    """Yield the Allow statements of a role, those behind a condition included."""
    for policy in role.get("Policies", []):
        certain = policy["Fn::If"][1] if "Fn::If" in policy else policy
        for statement in list_values(certain["PolicyDocument"]["Statement"]):
            plain = statement["Fn::If"][1] if "Fn::If" in statement else statement
            if plain["Effect"] == "Allow":
                yield plain


def test_nothing_is_allowed_on_everything() -> None:
    """A bare * as a resource, or inside an action, stands nowhere but on the list with its reason."""
    roles = find_by_type(translate(), "AWS::IAM::Role")
    unbounded = {
        (name, action)
        for name, role in roles.items()
        for statement in list_allowed(role)
        for action in list_values(statement["Action"])
        if "*" in list_values(statement["Resource"]) or "*" in action or "NotAction" in statement
    }

    assert unbounded == set(UNBOUNDED)


def test_every_managed_policy_is_one_we_decided_on() -> None:
    """The transform attaches policies of Amazon's, which name no resource, for each convenience it offers."""
    roles = find_by_type(translate(), "AWS::IAM::Role")
    attached = [arn for role in roles.values() for arn in role.get("ManagedPolicyArns", [])]
    texts = {arn["Fn::Sub"] if isinstance(arn, dict) else arn for arn in attached}

    assert {text.split(":policy/")[1] for text in texts} == set(MANAGED)


def test_the_gateway_may_write_logs_and_nothing_else() -> None:
    """Its role has that one policy of Amazon's and none of its own, and nobody else may take it."""
    role = find_by_type(translate(), "AWS::IAM::Role")[GATEWAYS_ROLE]
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]

    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    assert len(role["ManagedPolicyArns"]) == 1
    assert "Policies" not in role


def test_each_function_may_do_what_its_work_needs_and_no_more() -> None:
    """The actions of each role on each resource, against the list."""
    roles = find_by_type(translate(), "AWS::IAM::Role")
    may = {
        name.removesuffix("FunctionRole"): {
            f"{action} {name_target(resource)}"
            for statement in list_allowed(role)
            for action in list_values(statement["Action"])
            for resource in list_values(statement["Resource"])
        }
        for name, role in roles.items()
        if name not in (GATEWAYS_ROLE, CODEDEPLOYS_ROLE)
    }

    own = {name.removesuffix("Function"): role for name, role in FUNCTIONS.items() if role != OWNER}
    connects = {name: {f"rds-db:connect OwnRoles {role}"} for name, role in own.items()}

    assert may == {name: others | connects.get(name, set()) for name, others in MAY.items()}


def test_the_relay_may_change_keys_records_and_no_limit() -> None:
    """It keeps answers in the table that also has the limits and the circuits."""
    statements = list_allowed(find_by_type(translate(), "AWS::IAM::Role")["RelayFunctionRole"])
    [keeping] = [each for each in statements if "dynamodb:UpdateItem" in list_values(each["Action"])]
    [(operator, condition)] = keeping["Condition"].items()
    [pattern] = condition["dynamodb:LeadingKeys"]

    assert (operator, list(condition)) == ("ForAllValues:StringLike", ["dynamodb:LeadingKeys"])
    assert fnmatchcase(make_record_key(KeyUse("scope", "key", "asked")), pattern)
    bucket = make_bucket_key(LimitCharge("client", RateLimit("write", burst=1, period_s=1)))
    assert not any(fnmatchcase(other, pattern) for other in (bucket, "circuit#email"))


def test_only_operators_and_the_deployment_are_the_owner_of_the_schema() -> None:
    """The others connect as the role that can change no table and no history."""
    environments = {
        name: function["Environment"]["Variables"].get("DB_USER", {}).get("Ref")
        for name, function in find_by_type(translate(), "AWS::Lambda::Function").items()
    }

    assert {name for name, user in environments.items() if user == "DatabaseOwner"} == {
        "AdminFunction",
        "MigrationFunction",
    }


def test_evidence_is_private_and_travels_encrypted() -> None:
    """No public access of any kind, and no request without TLS."""
    template = translate()
    bucket = find_by_type(template, "AWS::S3::Bucket")["EvidenceBucket"]
    (statement,) = find_by_type(template, "AWS::S3::BucketPolicy")["EvidenceBucketPolicy"]["PolicyDocument"][
        "Statement"
    ]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_nobody_signs_themselves_up() -> None:
    """An identity is made by a registration or an operator; its groups can't be asked for."""
    template = load_template()
    pool = find_by_type(template, "AWS::Cognito::UserPool")["UserPool"]
    client = find_by_type(template, "AWS::Cognito::UserPoolClient")["UserPoolClient"]
    groups = find_by_type(template, "AWS::Cognito::UserPoolGroup").values()

    assert pool["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert client["PreventUserExistenceErrors"] == "ENABLED"
    assert "ALLOW_USER_PASSWORD_AUTH" not in client["ExplicitAuthFlows"]
    assert client["WriteAttributes"] == ["locale"]  # not their address, whatever their token may ask of Cognito
    assert pool["UserAttributeUpdateSettings"] == {"AttributesRequireVerificationBeforeUpdate": ["email"]}
    assert {group["GroupName"] for group in groups} == {"member", "agent", "staff", "admin"}
