"""The reader of a deployed stack: it asks the emulator, and reads the processed template for what the emulator drops.

The emulator's API Gateway drops ANY methods and gateway responses, and its Lambda drops the reserved concurrency. The
environments of functions, the event source mappings and the physical ids are right. So routes, throttles and reserved
concurrency are read from the template after the SAM transform, with the deployed ids filled in.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from local.deploy import STACK_NAME, EmulatorClients
from local.emulator import REGION
from local.stack import (
    DeployedFunction,
    DeployedRoute,
    DeploymentGroup,
    GatewayResponse,
    QueueSource,
    Schedule,
    Stack,
)
from local.template import IntrinsicResolver

ACCOUNT = "000000000000"
ANY = "x-amazon-apigateway-any-method"
FUNCTION_NAME = re.compile(r":function:([^:/]+)")
QUEUE_ADDRESS = re.compile(rf"^http://127\.0\.0\.1:\d+(?=/{ACCOUNT}/)")
UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
COGNITO_AUTHORIZER = "cognito_user_pools"  # the type of an authorizer, in lower case


@dataclass(frozen=True)
class DeployedStack:
    """A deployed stack: its resources with everything resolved, by logical id, and its outputs."""

    resources: Mapping[str, Mapping[str, Any]]
    physical_ids: Mapping[str, str]
    outputs: Mapping[str, str]

    def find_by_type(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the properties of all resources of a type, by logical id."""
        return {k: v.get("Properties", {}) for k, v in self.resources.items() if v["Type"] == kind}

    def find_only(self, kind: str) -> str:
        """Return the physical id of the only resource of a type. Raise LookupError if there is not exactly one."""
        found = [self.physical_ids[logical_id] for logical_id in self.find_by_type(kind)]
        if len(found) != 1:
            raise LookupError(f"the stack has {len(found)} resources of type {kind}, one is needed")
        return found[0]

    def find_function(self, text: object) -> str:
        """Return the logical id of the function in an ARN or an integration's URI."""
        match = FUNCTION_NAME.search(str(text))
        name = match[1] if match else str(text)
        return next(k for k in self.find_by_type("AWS::Lambda::Function") if self.physical_ids[k] == name)


def read_stack(clients: EmulatorClients, folders: Mapping[str, Path], layers: list[Path]) -> Stack:
    """Return the deployed stack.

    `folders` are the functions' code by logical id, `layers` the folders that stand for /opt.
    """
    deployed = read_deployed(clients.get("cloudformation"))
    [api] = deployed.find_by_type("AWS::ApiGateway::RestApi").values()
    [stage] = deployed.find_by_type("AWS::ApiGateway::Stage").values()
    throttles = read_throttles(stage)
    rate, burst = throttles.get(("/*", "*"), (None, None))
    pool = deployed.find_only("AWS::Cognito::UserPool")
    functions = sorted(read_functions(clients, deployed, folders, layers), key=attrgetter("logical_id"))
    return Stack(
        functions=functions,
        routes=sorted(read_routes(api["Body"], throttles, deployed), key=attrgetter("resource", "method")),
        schedules=sorted(read_schedules(deployed), key=attrgetter("function")),
        queue_sources=sorted(read_queue_sources(clients, deployed), key=attrgetter("queue_url")),
        user_pool_id=pool,
        client_id=deployed.find_only("AWS::Cognito::UserPoolClient"),
        jwks_url=f"{clients.endpoint}/{pool}/.well-known/jwks.json",
        issuer=f"https://cognito-idp.{REGION}.amazonaws.com/{pool}",
        allowed_origins=read_origins(functions),
        stage=stage["StageName"],
        stage_rate=rate,
        stage_burst=burst,
        gateway_responses=list(read_gateway_responses(api["Body"])),
        binary_media_types=list(
            api.get("BinaryMediaTypes", api["Body"].get("x-amazon-apigateway-binary-media-types", []))
        ),
        outputs=dict(deployed.outputs),
        minimum_compression=api.get("MinimumCompressionSize"),
        endpoint_url=clients.endpoint,
        access_log_format=stage.get("AccessLogSetting", {}).get("Format", ""),
        deployment_groups=sorted(read_deployment_groups(deployed), key=attrgetter("function")),
    )


def read_deployed(cloudformation: Any) -> DeployedStack:
    """Return the stack as CloudFormation describes it."""
    stack = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    listed = cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    physical_ids = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in listed}
    template = load_document(
        cloudformation.get_template(StackName=STACK_NAME, TemplateStage="Processed")["TemplateBody"]
    )
    given = {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])}
    defaults = {name: p["Default"] for name, p in template.get("Parameters", {}).items() if "Default" in p}
    pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws", "AWS::StackName": STACK_NAME}
    resolver = IntrinsicResolver(
        values={**defaults, **given, **physical_ids, **pseudo},
        attributes=dict(list_arns(listed)),
        conditions=template.get("Conditions", {}),
    )
    resources = {k: resolver.resolve(v) for k, v in template["Resources"].items() if k in physical_ids}
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
    return DeployedStack(resources, physical_ids, outputs)


def load_document(body: Any) -> dict[str, Any]:
    """Return a template body as plain data, whether it comes as text or parsed."""
    document: dict[str, Any] = json.loads(body if isinstance(body, str) else json.dumps(body))
    return document


def list_arns(listed: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the attributes that integrations, mappings, rules and alarms refer to: ARNs, and numbers of versions."""
    kinds = {"AWS::Lambda::Function": ("lambda", "function:"), "AWS::SQS::Queue": ("sqs", "")}
    for item in listed:
        if item["ResourceType"] in kinds:
            service, prefix = kinds[item["ResourceType"]]
            name = item["PhysicalResourceId"].rpartition("/")[2]
            yield f"{item['LogicalResourceId']}.Arn", f"arn:aws:{service}:{REGION}:{ACCOUNT}:{prefix}{name}"
        if item["ResourceType"] == "AWS::Lambda::Version":
            yield f"{item['LogicalResourceId']}.Version", item["PhysicalResourceId"].rpartition(":")[2]


def read_functions(
    clients: EmulatorClients, deployed: DeployedStack, folders: Mapping[str, Path], layers: list[Path]
) -> Iterator[DeployedFunction]:
    """Yield the functions with the environment that the emulator resolved, secrets included."""
    client = clients.get("lambda")
    for logical_id, properties in deployed.find_by_type("AWS::Lambda::Function").items():
        live = client.get_function_configuration(FunctionName=deployed.physical_ids[logical_id])
        reserved = properties.get("ReservedConcurrentExecutions")
        yield DeployedFunction(
            logical_id=logical_id,
            handler=live["Handler"],
            code_dir=str(folders[logical_id]),
            layer_dirs=[str(layer) for layer in layers] if live.get("Layers") else [],
            environment={
                **replace_addresses(
                    replace_names(live.get("Environment", {}).get("Variables", {}), deployed), clients.endpoint
                ),
                **({"MIGRATIONS_DIR": str(layers[0] / "migrations")} if layers else {}),  # /opt is not writable here
            },
            timeout_s=live["Timeout"],
            memory_mb=live["MemorySize"],
            reserved_concurrency=None if reserved is None else int(reserved),
            name=deployed.physical_ids[logical_id],
        )


def replace_names(document: Any, deployed: DeployedStack) -> Any:
    """Return a document with the functions' logical ids for their names, which the emulator has made up of them."""
    text = json.dumps(document)
    for logical_id in deployed.find_by_type("AWS::Lambda::Function"):
        text = text.replace(deployed.physical_ids[logical_id], logical_id)
    return json.loads(text)


def replace_addresses(environment: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """Return the environment with the emulator's present port in queue URLs, which have the port of an earlier run."""
    return {name: QUEUE_ADDRESS.sub(endpoint, value) for name, value in environment.items()}


def read_origins(functions: list[DeployedFunction]) -> list[str]:
    """Return the web origins in the functions' settings."""
    settings = {function.environment.get("ALLOWED_ORIGINS", "*") for function in functions}
    return sorted({origin.strip() for text in settings for origin in text.split(",")})


def read_throttles(stage: Mapping[str, Any]) -> dict[tuple[str, str], tuple[float | None, int | None]]:
    """Return rate and burst by (resource, method) of a stage's settings; ("/*", "*") is the stage's own."""
    return {
        (decode_path(item["ResourcePath"]), item["HttpMethod"].upper()): (
            None if (rate := item.get("ThrottlingRateLimit")) is None else float(rate),
            None if (burst := item.get("ThrottlingBurstLimit")) is None else int(burst),
        )
        for item in stage.get("MethodSettings", [])
    }


def decode_path(path: str) -> str:
    """Return a plain resource path; method settings write ~1 for each slash after the first."""
    return "/" + path.removeprefix("/").replace("~1", "/").removeprefix("/")


def read_routes(
    body: Mapping[str, Any],
    throttles: Mapping[tuple[str, str], tuple[float | None, int | None]],
    deployed: DeployedStack,
) -> Iterator[DeployedRoute]:
    """Yield the methods that invoke a function."""
    secured = read_authorizers(body)
    for resource, methods in body["paths"].items():
        for key, method in methods.items():
            integration = method.get("x-amazon-apigateway-integration", {}) if isinstance(method, Mapping) else {}
            if str(integration.get("type", "")).lower() != "aws_proxy":
                continue
            name = "ANY" if key == ANY else key.upper()
            rate, burst = throttles.get((resource, name), (None, None))
            requirements = {scheme for requirement in method.get("security", []) for scheme in requirement}
            function = deployed.find_function(integration["uri"])
            yield DeployedRoute(name, resource, function, bool(requirements & secured), rate, burst)


def read_authorizers(body: Mapping[str, Any]) -> set[str]:
    """Return the names of security schemes that are Cognito authorizers, in OpenAPI 2 or 3."""
    schemes = {**body.get("securityDefinitions", {}), **body.get("components", {}).get("securitySchemes", {})}
    return {k for k, v in schemes.items() if v.get("x-amazon-apigateway-authtype", "").lower() == COGNITO_AUTHORIZER}


def read_gateway_responses(body: Mapping[str, Any]) -> Iterator[GatewayResponse]:
    """Yield the responses that the gateway makes itself."""
    prefix = "gatewayresponse.header."
    for kind, response in body.get("x-amazon-apigateway-gateway-responses", {}).items():
        status = response.get("statusCode")
        parameters = response.get("responseParameters", {})
        yield GatewayResponse(
            response_type=kind,
            status=None if status is None else int(status),
            headers={k.removeprefix(prefix): str(v) for k, v in parameters.items() if k.startswith(prefix)},
            templates={k: str(v) for k, v in response.get("responseTemplates", {}).items()},
        )


def read_schedules(deployed: DeployedStack) -> Iterator[Schedule]:
    """Yield the scheduled invocations, enabled or not: locally they are deployed disabled."""
    for properties in deployed.find_by_type("AWS::Events::Rule").values():
        if "ScheduleExpression" in properties:
            every_s = parse_rate(properties["ScheduleExpression"])
            for target in properties["Targets"]:
                yield Schedule(deployed.find_function(target["Arn"]), every_s, read_payload(target))
    for properties in deployed.find_by_type("AWS::Scheduler::Schedule").values():
        target = properties["Target"]
        yield Schedule(
            deployed.find_function(target["Arn"]), parse_rate(properties["ScheduleExpression"]), read_payload(target)
        )


def read_payload(target: Mapping[str, Any]) -> Any:
    """Return a target's constant input, parsed; None if it has none."""
    return json.loads(target["Input"]) if "Input" in target else None


def parse_rate(expression: str) -> float:
    """Return the seconds of a rate expression. Raise ValueError for cron, which the local cloud does not support."""
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if match is None:
        raise ValueError(f"the local cloud runs rate(…) schedules, not {expression}")
    return float(int(match[1]) * UNIT_SECONDS[match[2]])


def read_queue_sources(clients: EmulatorClients, deployed: DeployedStack) -> Iterator[QueueSource]:
    """Yield the event source mappings of queues, as the emulator resolved them."""
    client = clients.get("lambda")
    for logical_id in deployed.find_by_type("AWS::Lambda::EventSourceMapping"):
        live = client.get_event_source_mapping(UUID=deployed.physical_ids[logical_id])
        queue = live["EventSourceArn"].rpartition(":")[2]
        yield QueueSource(
            function=deployed.find_function(live["FunctionArn"]),
            queue_url=f"{clients.endpoint}/{ACCOUNT}/{queue}",
            batch_size=live["BatchSize"],
            batch_window_s=float(live.get("MaximumBatchingWindowInSeconds", 0)),
            max_concurrency=live.get("ScalingConfig", {}).get("MaximumConcurrency"),
            partial_failures="ReportBatchItemFailures" in live.get("FunctionResponseTypes", []),
        )


def read_deployment_groups(deployed: DeployedStack) -> Iterator[DeploymentGroup]:
    """Yield how releases get traffic, of each function whose alias CodeDeploy moves."""
    logical_ids = {physical: logical for logical, physical in deployed.physical_ids.items()}
    groups = deployed.find_by_type("AWS::CodeDeploy::DeploymentGroup")
    alarms = deployed.find_by_type("AWS::CloudWatch::Alarm")
    for resource in deployed.resources.values():
        policy = resource.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate")
        if policy is None:
            continue
        group = groups[logical_ids[policy["DeploymentGroupName"]]]
        names = [logical_ids[item["Name"]] for item in group.get("AlarmConfiguration", {}).get("Alarms", [])]
        hook = policy.get("BeforeAllowTrafficHook")
        yield DeploymentGroup(
            function=deployed.find_function(resource["Properties"]["FunctionName"]),
            config=group["DeploymentConfigName"],
            hook=deployed.find_function(hook) if hook else "",
            alarms={name: replace_names(dict(alarms[name]), deployed) for name in names},
        )
