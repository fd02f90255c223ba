"""Powertools' circuit breaker in many execution environments at once, measured beside ours."""

import importlib.util
import itertools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig, base
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_serial = itertools.count(1)


def make_powertools_environment(
    client: "DynamoDBClient", table: str, *, threshold: int = 5, recovery_s: int = 3600, cache_s: int = 0
) -> Callable[[Callable[[], None]], None]:
    """Return a caller behind it; an open circuit raises CircuitBreakerOpenError.

    Its counters are globals of a module, one set for each environment: so each environment here has the module anew.
    """
    module = _import_fresh_module()
    store = CircuitBreakerDynamoDBPersistence(table_name=table, key_attr="pk", boto3_client=client)
    config = CircuitBreakerConfig(failure_threshold=threshold, recovery_timeout=recovery_s, local_cache_max_age=cache_s)

    def call(run: Callable[[], None]) -> None:
        module.CircuitBreakerHandler(function=run, name="powertools", config=config, persistence_store=store).handle()

    return call


def _import_fresh_module() -> Any:
    name = f"powertools_environment_{next(_serial)}"
    spec = importlib.util.spec_from_file_location(name, base.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
