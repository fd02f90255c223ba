"""Calls above the capacity get a 429 from the gateway, before a function's own limit answers them with a 5xx."""

from functools import cache
from typing import Any

import pytest

from tests.template.test_database_modes import list_connected_functions, resolve_resources
from tests.template.test_routes import ANY, function_of, load_api
from tests.template.translation import Json, find_by_type, load_template

AT_ONE_INSTANT = 50  # callers that each function which people call has to serve
WRITES = ("/agents", "/members", "/claims")
DEEP_CHECK_S = 2.0  # the deep check's own time; elsewhere the slowest call is one that meets a cold start
COLD_START_S = 1.0
ALL, NONE = "891", "0"  # of ReservedConcurrency
RESERVABLE = 1000 - 100  # of an account's 1,000 concurrent executions; 100 can't be reserved
NEW_ACCOUNT = 10  # concurrent executions, of which none can be reserved
BACKGROUND = ("RelayFunction", "WorkerFunction")


def list_deployed_methods() -> dict[tuple[str, str], str]:
    """Return the function of every deployed method, by path and method."""
    return {
        (path, "ANY" if method == ANY else method.upper()): function_of(operation)
        for path, item in load_api()["paths"].items()
        for method, operation in item.items()
    }


@cache
def deploy(reserved: str) -> Json:
    """Return the resources of a stack that reserves executions as the parameter says, worked out."""
    return resolve_resources(ReservedConcurrency=reserved)


@cache
def list_own_throttles(reserved: str) -> tuple[dict[tuple[str, str], tuple[int, int]], tuple[int, int]]:
    """Return rate and burst of the methods that have their own, and those that all others inherit."""
    [stage] = find_by_type({"Resources": deploy(reserved)}, "AWS::ApiGateway::Stage").values()
    settings = {
        (item["ResourcePath"].replace("~1", "/").replace("//", "/"), item["HttpMethod"]): (
            item["ThrottlingRateLimit"],
            item["ThrottlingBurstLimit"],
        )
        for item in stage["MethodSettings"]
    }
    inherited = settings.pop(("/*", "*"))
    return settings, inherited


def read_throttles(reserved: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Return rate and burst of every deployed method; one without its own inherits the stage's."""
    settings, inherited = list_own_throttles(reserved)
    deployed = dict.fromkeys(list_deployed_methods(), inherited)
    assert set(settings) <= set(deployed), "a throttle of a method that does not exist"
    return deployed | settings


@cache
def read_reservations() -> dict[tuple[str, str], tuple[str, int]]:
    """Return the function of every deployed method, and its reserved concurrency."""
    deployed = list_connected_functions(deploy(ALL))
    return {
        method: (function, deployed[function]["ReservedConcurrentExecutions"])
        for method, function in list_deployed_methods().items()
    }


def estimate_concurrency(method: tuple[str, str], reserved: str = ALL) -> float:
    """Return the most calls of a method that can be under way: a burst, and what is let in while it lasts."""
    rate, burst = read_throttles(reserved)[method]
    slow = DEEP_CHECK_S if method in {("/health/deep", "GET"), ("/health/deep", "HEAD")} else COLD_START_S
    return burst + rate * slow


def test_no_method_states_what_it_inherits() -> None:
    """A line that equals the stage's own says nothing, and would stay behind when that one changes."""
    own, inherited = list_own_throttles(ALL)

    assert [method for method, figures in own.items() if figures == inherited] == []


def test_no_method_lets_in_more_than_its_function_can_take() -> None:
    """A burst, and what follows it for as long as the slowest of its calls lasts, fit the reserved concurrency."""
    over = {
        method: (function, limit)
        for method, (function, limit) in read_reservations().items()
        if estimate_concurrency(method) > limit or read_throttles(ALL)[method][1] > limit
    }

    assert over == {}


def test_fifty_at_one_instant_are_let_in_where_people_write() -> None:
    """The promise is per function, at the settings that are deployed."""
    assert {path: read_throttles(ALL)[path, "POST"][1] for path in WRITES} == dict.fromkeys(WRITES, AT_ONE_INSTANT)


def test_all_permitted_calls_of_health_leave_capacity_for_the_schedule() -> None:
    """Its methods together, at their worst, are fewer calls than its environments: the alarms keep their data."""
    own = {method: limit for method, (function, limit) in read_reservations().items() if function == "HealthFunction"}

    assert sum(map(estimate_concurrency, own)) <= min(own.values()) - 1


def test_the_parameter_says_how_much_is_reserved_and_leaves_what_lambda_insists_on() -> None:
    """Its value is the sum of what the functions reserve."""
    reserved = [function["ReservedConcurrentExecutions"] for function in list_connected_functions(deploy(ALL)).values()]

    assert sum(reserved) == int(ALL) <= RESERVABLE
    assert load_template()["Parameters"]["ReservedConcurrency"]["AllowedValues"] == [int(NONE), int(ALL)]


def test_a_new_account_can_deploy_without_reservations() -> None:
    """Lambda refuses any reservation that leaves fewer than 100 unreserved."""
    functions = list_connected_functions(deploy(NONE))
    assert [name for name, each in functions.items() if "ReservedConcurrentExecutions" in each] == []


def test_no_method_lets_in_more_than_a_new_account_can_run() -> None:
    """One method's burst and what follows it fit ten executions, if nothing else runs; the 429 is the gateway's."""
    over = {method for method in list_deployed_methods() if estimate_concurrency(method, NONE) > NEW_ACCOUNT}

    assert over == set()


@pytest.mark.parametrize(("reserved", "account"), [(ALL, None), (NONE, NEW_ACCOUNT)])
def test_the_queues_take_no_more_than_is_theirs(reserved: str, account: int | None) -> None:
    """Without reservations they leave the API some of a new account's ten executions, as Lambda's least permits."""
    deployed = list_connected_functions(deploy(reserved))
    mappings = find_by_type({"Resources": deploy(reserved)}, "AWS::Lambda::EventSourceMapping").values()
    taken = {name: sum(map(read_concurrency, select_mappings(mappings, name))) for name in BACKGROUND}

    if account is None:
        assert taken == {name: deployed[name]["ReservedConcurrentExecutions"] for name in BACKGROUND}
    else:
        assert sum(taken.values()) <= account - 2


def select_mappings(mappings: Any, name: str) -> list[Json]:
    """Return the mappings of a function."""
    return [mapping for mapping in mappings if mapping["FunctionName"]["Ref"] == f"{name}Aliaslive"]


def read_concurrency(mapping: Json) -> int:
    """Return how many batches of a queue are handled at the same time, at most."""
    return int(mapping["ScalingConfig"]["MaximumConcurrency"])
