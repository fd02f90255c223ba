"""The environment variables of an execution environment: the function's and Lambda's, none of this machine's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from local.stack import DeployedFunction

ACCOUNT = "000000000000"
VARIABLE = re.compile(r"(?:(?P<function>\w+):)?(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True)
class RuntimePlatform:
    """The platform that functions run on: the Python with the runtime client, the emulator's address, the region."""

    python: str
    endpoint: str
    region: str

    def build_arn(self, function: str) -> str:
        """Return the ARN of a function."""
        return f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{function}"


@dataclass(frozen=True)
class VariableOverride:
    """A variable added to what was deployed. `function` is a logical id, empty for every function."""

    function: str
    name: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "VariableOverride":
        """Parse NAME=VALUE or FunctionLogicalId:NAME=VALUE. Raise ValueError."""
        found = VARIABLE.fullmatch(text)
        if found is None:
            raise ValueError(f"neither NAME=VALUE nor FunctionLogicalId:NAME=VALUE: {text}")
        return cls(found["function"] or "", found["name"], found["value"])


def override_variables(
    functions: Sequence[DeployedFunction], overrides: Sequence[VariableOverride]
) -> list[DeployedFunction]:
    """Return the functions with added variables, which win over those deployed; a function's own win over general ones.

    Raise ValueError if a variable names an unknown function.
    """
    known = {function.logical_id for function in functions} | {""}
    for variable in overrides:
        if variable.function not in known:
            raise ValueError(f"there is no function {variable.function}")

    def add_variables(function: DeployedFunction) -> DeployedFunction:
        for_all = {each.name: each.value for each in overrides if not each.function}
        own = {each.name: each.value for each in overrides if each.function == function.logical_id}
        return replace(function, environment={**function.environment, **for_all, **own})

    return [add_variables(function) for function in functions]


def build_import_path(function: DeployedFunction) -> list[str]:
    """Return the folders a handler imports from: its own, then `python/` of each layer (or the layer itself)."""
    layers = [Path(layer) for layer in function.layer_dirs]
    return [function.code_dir, *(str(layer / "python" if (layer / "python").is_dir() else layer) for layer in layers)]


def list_source_folders(function: DeployedFunction) -> list[Path]:
    """Return the folders that people edit: the function's own, and what its layers link to in the checkout."""
    parts = (part for layer in function.layer_dirs for part in Path(layer, "python").glob("*") if part.is_symlink())
    return [Path(function.code_dir).resolve(), *(part.resolve() for part in parts)]


def build_variables(
    function: DeployedFunction, platform: RuntimePlatform, *, runtime_api: str, stream: str
) -> dict[str, str]:
    """Return all variables of one environment; Lambda's reserved names win over the function's."""
    return {
        "AWS_ENDPOINT_URL": platform.endpoint,
        **function.environment,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": platform.region,
        "AWS_DEFAULT_REGION": platform.region,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.logical_id}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_TASK_ROOT": function.code_dir,
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": ":".join(build_import_path(function)),
        "TZ": ":UTC",
        "_HANDLER": function.handler,
    }
