"""Calls above the capacity get a 429 from the gateway, before a function's own limit answers them with a 5xx."""

from functools import cache

from tests.template.test_routes import ANY, function_of, load_api
from tests.template.translation import find_by_type, translate

AT_ONE_INSTANT = 50  # callers that each function which people call has to serve
WRITES = ("/agents", "/members", "/claims")
DEEP_CHECK_S = 2.0  # the deep check's own time; elsewhere the slowest call is one that meets a cold start
COLD_START_S = 1.0


def deployed_methods() -> dict[tuple[str, str], str]:
    """Return the function of every deployed method, by path and method."""
    return {
        (path, "ANY" if method == ANY else method.upper()): function_of(operation)
        for path, item in load_api()["paths"].items()
        for method, operation in item.items()
    }


@cache
def own_throttles() -> tuple[dict[tuple[str, str], tuple[int, int]], tuple[int, int]]:
    """Return rate and burst of the methods that have their own, and those that all others inherit."""
    [stage] = find_by_type(translate(), "AWS::ApiGateway::Stage").values()
    settings = {
        (item["ResourcePath"].replace("~1", "/").replace("//", "/"), item["HttpMethod"]): (
            item["ThrottlingRateLimit"],
            item["ThrottlingBurstLimit"],
        )
        for item in stage["MethodSettings"]
    }
    inherited = settings.pop(("/*", "*"))
    return settings, inherited


def throttles() -> dict[tuple[str, str], tuple[int, int]]:
    """Return rate and burst of every deployed method; one without its own inherits the stage's."""
    settings, inherited = own_throttles()
    deployed = dict.fromkeys(deployed_methods(), inherited)
    assert set(settings) <= set(deployed), "a throttle of a method that does not exist"
    return deployed | settings


@cache
def concurrency() -> dict[tuple[str, str], tuple[str, int]]:
    """Return the function of every deployed method, and its reserved concurrency."""
    functions = find_by_type(translate(), "AWS::Lambda::Function")
    return {
        method: (function, functions[function]["ReservedConcurrentExecutions"])
        for method, function in deployed_methods().items()
    }


def estimate_concurrency(method: tuple[str, str]) -> float:
    """Return the most calls of a method that can be under way: a burst, and what is let in while it lasts."""
    rate, burst = throttles()[method]
    slow = DEEP_CHECK_S if method in {("/health/deep", "GET"), ("/health/deep", "HEAD")} else COLD_START_S
    return burst + rate * slow


def test_no_method_states_what_it_inherits() -> None:
    """A line that equals the stage's own says nothing, and would stay behind when that one changes."""
    own, inherited = own_throttles()

    assert [method for method, figures in own.items() if figures == inherited] == []


def test_no_method_lets_in_more_than_its_function_can_take() -> None:
    """A burst, and what follows it for as long as the slowest of its calls lasts, fit the reserved concurrency."""
    over = {
        method: (function, limit)
        for method, (function, limit) in concurrency().items()
        if estimate_concurrency(method) > limit or throttles()[method][1] > limit
    }

    assert over == {}


def test_fifty_at_one_instant_are_let_in_where_people_write() -> None:
    """The promise is per function, at the settings that are deployed."""
    assert {path: throttles()[path, "POST"][1] for path in WRITES} == dict.fromkeys(WRITES, AT_ONE_INSTANT)


def test_all_permitted_calls_of_health_leave_capacity_for_the_schedule() -> None:
    """Its methods together, at their worst, are fewer calls than its environments: the alarms keep their data."""
    own = {method: limit for method, (function, limit) in concurrency().items() if function == "HealthFunction"}

    assert sum(map(estimate_concurrency, own)) <= min(own.values()) - 1


def test_the_account_keeps_what_lambda_insists_on() -> None:
    """100 of an account's 1,000 concurrent executions can't be reserved."""
    functions = find_by_type(translate(), "AWS::Lambda::Function").values()

    assert sum(function["ReservedConcurrentExecutions"] for function in functions) <= 1000 - 100
