"""The deployed stack as plain data: `local.stack_reader` makes it, `local.gateway` and `local.events` use it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DeployedFunction:
    """One deployed function. Folders are absolute paths of this checkout; the environment is fully resolved.

    `name` is what CloudFormation has called it, empty if the stack was read before this was noted.
    """

    logical_id: str
    handler: str
    code_dir: str
    layer_dirs: list[str]
    environment: dict[str, str]
    timeout_s: int
    memory_mb: int
    reserved_concurrency: int | None
    version: str = "1"
    name: str = ""


@dataclass(frozen=True)
class DeployedRoute:
    """One method of one resource. `method` is upper case or "ANY".

    `rate` (calls a second) and `burst` are None if only the stage's own throttle applies.
    """

    method: str
    resource: str
    function: str
    authorized: bool
    rate: float | None
    burst: int | None


@dataclass(frozen=True)
class Schedule:
    """A scheduled invocation. `payload` is the constant input, or None for EventBridge's default event."""

    function: str
    every_s: float
    payload: Any


@dataclass(frozen=True)
class QueueSource:
    """An SQS event source mapping. `max_concurrency` is its ScalingConfig, None if it has none."""

    function: str
    queue_url: str
    batch_size: int
    batch_window_s: float
    max_concurrency: int | None
    partial_failures: bool


@dataclass(frozen=True)
class DeploymentGroup:
    """CodeDeploy's deployment group of one function, which says how a release gets traffic, and the hook of its alias.

    `config` is the deployment configuration's name, like CodeDeployDefault.LambdaAllAtOnce. `hook` is the function that
    checks a release first, empty if there is none; `alarms` are the properties of the alarms that roll one back, by
    logical id.
    """

    function: str
    config: str
    hook: str
    alarms: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class GatewayResponse:
    """A response that the gateway makes itself. `response_type` is like THROTTLED; `status` None keeps the type's own.

    `headers` maps a name to a mapping expression as API Gateway writes it, `'a literal'` in single quotes or
    `context.requestId`; `templates` maps a content type to a body with `$context.…` variables.
    """

    response_type: str
    status: int | None
    headers: dict[str, str]
    templates: dict[str, str]


@dataclass(frozen=True)
class Stack:
    """The deployed stack. `stage_rate` (calls a second) and `stage_burst` are None if the template sets none.

    `minimum_compression` is the body size in bytes from which responses are compressed, None for never; `endpoint_url`
    is the emulator's address; `access_log_format` is a line of the access log, empty if the stage has none.
    """

    functions: list[DeployedFunction]
    routes: list[DeployedRoute]
    schedules: list[Schedule]
    queue_sources: list[QueueSource]
    user_pool_id: str
    client_id: str
    jwks_url: str
    issuer: str
    allowed_origins: list[str]
    stage: str
    stage_rate: float | None
    stage_burst: int | None
    gateway_responses: list[GatewayResponse] = field(default_factory=list)
    binary_media_types: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    minimum_compression: int | None = None
    endpoint_url: str = ""
    access_log_format: str = ""
    deployment_groups: list[DeploymentGroup] = field(default_factory=list)

    def find_function(self, logical_id: str) -> DeployedFunction:
        """Return the function of that logical id. Raise KeyError if the stack has none."""
        for function in self.functions:
            if function.logical_id == logical_id:
                return function
        raise KeyError(logical_id)

    def save(self, path: Path) -> None:
        """Write the stack as JSON, all or nothing: a reader never sees half a file."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self), indent=1, sort_keys=True))
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Stack":
        """Return the stack that `save` wrote. Raise OSError or KeyError/TypeError if the file is not one."""
        return cls.from_json(json.loads(path.read_text()))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Stack":
        """Return the stack of its JSON document (the shape of `dataclasses.asdict`)."""
        parts: dict[str, Any] = {
            "functions": [DeployedFunction(**item) for item in document["functions"]],
            "routes": [DeployedRoute(**item) for item in document["routes"]],
            "schedules": [Schedule(**item) for item in document["schedules"]],
            "queue_sources": [QueueSource(**item) for item in document["queue_sources"]],
            "gateway_responses": [GatewayResponse(**item) for item in document.get("gateway_responses", [])],
            "deployment_groups": [DeploymentGroup(**item) for item in document.get("deployment_groups", [])],
        }
        return cls(**{**document, **parts})
