"""The gateway's access log: JSON in any case, and nothing in it that says who the client is."""

import json
import re

from tests.template.translation import Json, find_by_type, translate

VARIABLE = re.compile(r"\$context\.([\w.]+)")
# What API Gateway knows of a request and what says nothing of the person: no source address, path (it has ids), query,
# claims, agent, or error text that a function might have written.
FIELDS = {
    "gateway_id": "extendedRequestId",  # `gateway_id` in the function's log, whose `request_id` the client got
    "trace_id": "xrayTraceId",
    "time_ms": "requestTimeEpoch",
    "method": "httpMethod",
    "route": "resourcePath",
    "status": "status",
    "latency_ms": "responseLatency",
    "response_bytes": "responseLength",
    "refused_as": "error.responseType",
    "function_status": "integration.status",
    "function_latency_ms": "integration.latency",
    "lambda_status": "integration.integrationStatus",
    "lambda_request_id": "integration.requestId",
}


def read_stage() -> Json:
    """Return the properties of the API's stage."""
    [found] = find_by_type(translate(), "AWS::ApiGateway::Stage").values()
    return found


def test_the_access_log_has_the_fields_decided_on_and_no_others() -> None:
    """Each is one variable of the gateway's."""
    fields = json.loads(read_stage()["AccessLogSetting"]["Format"])
    assert fields == {name: f"$context.{variable}" for name, variable in FIELDS.items()}


def test_a_line_of_the_access_log_is_json_whatever_is_not_known() -> None:
    """The gateway writes - for that, which is JSON only in quotes."""
    line = VARIABLE.sub("-", read_stage()["AccessLogSetting"]["Format"])
    assert json.loads(line) == dict.fromkeys(FIELDS, "-")
    assert "\n" not in line


def test_the_stage_is_made_after_the_account_may_write_logs() -> None:
    """An empty account refuses a stage with an access log before."""
    resources = translate()["Resources"]
    [(name, _)] = find_by_type(translate(), "AWS::ApiGateway::Stage").items()
    assert "GatewayLogging" in _list_needed(resources, name)
    assert "GatewayLoggingRole" in _list_needed(resources, "GatewayLogging")


def _list_needed(resources: Json, name: str) -> set[str]:
    """Return the resources that have to be there before one is made."""
    found: set[str] = set()
    todo = [name]
    while todo:
        resource = resources[todo.pop()]
        depends = resource.get("DependsOn", [])
        named = set([depends] if isinstance(depends, str) else depends) | set(
            re.findall(r'"(?:Ref|Fn::GetAtt)": (?:\[)?"(\w+)"', json.dumps(resource.get("Properties", {})))
        )
        todo += (named & set(resources)) - found
        found |= named & set(resources)
    return found


def test_what_all_stacks_of_the_account_share_outlives_this_one() -> None:
    """Another stack's gateway may still write by it."""
    resources = translate()["Resources"]
    for name in ("GatewayLogging", "GatewayLoggingRole"):
        assert (resources[name].get("DeletionPolicy"), resources[name].get("UpdateReplacePolicy")) == ("Retain",) * 2
