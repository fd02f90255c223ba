"""The API that the template deploys is the one that the contract lists, with its doors locked as it says."""

import json
from typing import NamedTuple

import pytest

from local.gateway.gateway_responses import EXPIRED, UNAUTHORIZED, GatewayRejection, GatewayResponses
from local.stack_reader import read_gateway_responses
from shared.api.cors import PREFLIGHT
from shared.api.problems import CATALOGUE, MEDIA_TYPE, URN
from shared.api.responses import SECURITY_HEADERS
from tests.template.translation import Json, translate

ANY = "x-amazon-apigateway-any-method"
SCOPE = ["aws.cognito.signin.user.admin"]


class ExpectedRoute(NamedTuple):
    method: str
    path: str
    function: str
    public: bool = False


CONTRACT = [
    ExpectedRoute("get", "/health", "HealthFunction", public=True),
    ExpectedRoute("head", "/health", "HealthFunction", public=True),
    ExpectedRoute("get", "/health/deep", "HealthFunction", public=True),
    ExpectedRoute("head", "/health/deep", "HealthFunction", public=True),
    ExpectedRoute("get", "/openapi.json", "PagesFunction", public=True),
    ExpectedRoute("get", "/docs", "PagesFunction", public=True),
    ExpectedRoute("post", "/agents", "AgentsFunction", public=True),
    ExpectedRoute("get", "/agents", "AgentsFunction"),
    ExpectedRoute("get", "/agents/me", "AgentsFunction"),
    ExpectedRoute("get", "/agents/{agent_id}", "AgentsFunction"),
    ExpectedRoute("post", "/agents/{agent_id}/decision", "AgentsFunction"),
    ExpectedRoute("get", "/agents/me/clients", "AgentsFunction"),
    ExpectedRoute("get", "/agents/me/commissions", "AgentsFunction"),
    ExpectedRoute("patch", "/agents/{agent_id}", "AgentsFunction"),
    ExpectedRoute("get", "/commissions", "AgentsFunction"),
    ExpectedRoute("post", "/commissions/{commission_id}/decision", "AgentsFunction"),
    ExpectedRoute("get", "/agents/me/statements", "AgentsFunction"),
    ExpectedRoute("post", "/payouts", "AgentsFunction"),
    ExpectedRoute("get", "/payouts", "AgentsFunction"),
    ExpectedRoute("get", "/payouts/{payout_id}", "AgentsFunction"),
    ExpectedRoute("post", "/members", "MembersFunction", public=True),
    ExpectedRoute("get", "/members", "MembersFunction"),
    ExpectedRoute("get", "/members/me", "MembersFunction"),
    ExpectedRoute("patch", "/members/me", "MembersFunction"),
    ExpectedRoute("get", "/members/{member_id}", "MembersFunction"),
    ExpectedRoute("patch", "/members/{member_id}", "MembersFunction"),
    ExpectedRoute("post", "/members/{member_id}/renewals", "MembersFunction"),
    ExpectedRoute("post", "/members/{member_id}/cancellation", "MembersFunction"),
    ExpectedRoute("post", "/members/{member_id}/pause", "MembersFunction"),
    ExpectedRoute("post", "/members/{member_id}/resume", "MembersFunction"),
    ExpectedRoute("post", "/claims", "ClaimsFunction"),
    ExpectedRoute("get", "/claims", "ClaimsFunction"),
    ExpectedRoute("get", "/claims/{claim_id}", "ClaimsFunction"),
    ExpectedRoute("get", "/claims/{claim_id}/history", "ClaimsFunction"),
    ExpectedRoute("post", "/claims/{claim_id}/transitions", "ClaimsFunction"),
    ExpectedRoute("put", "/claims/{claim_id}/assignee", "ClaimsFunction"),
    ExpectedRoute("post", "/claims/{claim_id}/documents", "ClaimsFunction"),
    ExpectedRoute("get", "/claims/{claim_id}/documents", "ClaimsFunction"),
    ExpectedRoute("post", "/claims/{claim_id}/documents/{document_id}/completion", "ClaimsFunction"),
    ExpectedRoute("get", "/claims/{claim_id}/documents/{document_id}/download", "ClaimsFunction"),
    ExpectedRoute("delete", "/claims/{claim_id}/documents/{document_id}", "ClaimsFunction"),
    ExpectedRoute("get", "/jobs", "JobsFunction"),
    ExpectedRoute("post", "/jobs/{job_id}/replay", "JobsFunction"),
    ExpectedRoute("post", "/jobs/{job_id}/dismiss", "JobsFunction"),
]
ELSEWHERE = {"/", "/{proxy+}"}

# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
RESPONSE_TYPES = """
ACCESS_DENIED API_CONFIGURATION_ERROR AUTHORIZER_CONFIGURATION_ERROR AUTHORIZER_FAILURE
BAD_REQUEST_BODY BAD_REQUEST_PARAMETERS DEFAULT_4XX DEFAULT_5XX EXPIRED_TOKEN INTEGRATION_FAILURE
INTEGRATION_TIMEOUT INVALID_API_KEY INVALID_SIGNATURE MISSING_AUTHENTICATION_TOKEN QUOTA_EXCEEDED
REQUEST_TOO_LARGE RESOURCE_NOT_FOUND THROTTLED UNAUTHORIZED UNSUPPORTED_MEDIA_TYPE WAF_FILTERED
"""
# What is known of a token's fault: an expired token of IAM has a kind of its own, and of Cognito's tokens the gateway
# tells only in its message ("The incoming token has expired", "Unauthorized").
FAULTS_OF_TOKENS = {"EXPIRED_TOKEN": "The access token has expired. ", "UNAUTHORIZED": "$context.error.message. "}


def load_api() -> Json:
    """Return the API's definition, as the transform wrote it."""
    body: Json = translate()["Resources"]["Api"]["Properties"]["Body"]
    return body


def function_of(method: Json) -> str:
    """Return the logical id of the function that a method calls, by way of its alias."""
    uri: str = method["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    return uri.split("functions/${")[1].split("Aliaslive}")[0]


def is_public(method: Json) -> bool:
    """Return whether the gateway accepts a call without a token."""
    return bool(method["security"] == [{"NONE": []}])


def test_the_contract_is_what_is_deployed() -> None:
    """Each method and path goes to its function, and there is none that the contract does not list."""
    deployed = {
        ExpectedRoute(method, path, function_of(operation), is_public(operation))
        for path, item in load_api()["paths"].items()
        for method, operation in item.items()
        if method != ANY
    }

    assert deployed == set(CONTRACT)


def test_every_locked_method_takes_access_tokens_only() -> None:
    """The authorizer asks for a scope that ID tokens lack."""
    locked = [
        operation["security"]
        for item in load_api()["paths"].values()
        for method, operation in item.items()
        if method != ANY and not is_public(operation)
    ]

    assert locked == [[{"AccessToken": SCOPE}]] * len([r for r in CONTRACT if not r.public])


def test_every_path_answers_every_method() -> None:
    """A wrong method reaches a function, without a token, so that it can answer 405 with Allow.

    Health's own two paths are the exception: what nobody needs there must not take its environments.
    """
    owners = {
        route.path: "PagesFunction" if route.function == "HealthFunction" else route.function for route in CONTRACT
    } | dict.fromkeys(ELSEWHERE, "PagesFunction")
    others = {path: (function_of(item[ANY]), is_public(item[ANY])) for path, item in load_api()["paths"].items()}

    assert others == {path: (function, True) for path, function in owners.items()}


def test_preflights_reach_the_function_of_their_path() -> None:
    """No path has an OPTIONS of the gateway's own: its mock could carry neither an id nor the security headers."""
    assert [path for path, item in load_api()["paths"].items() if "options" in item] == []


@pytest.mark.parametrize("kind", RESPONSE_TYPES.split())
def test_what_the_gateway_says_by_itself_is_a_problem_like_ours(kind: str) -> None:
    """Same media type, same names, titles and statuses as the functions', with the request's id."""
    response = load_api()["x-amazon-apigateway-gateway-responses"][kind]
    problem = json.loads(response["responseTemplates"]["application/json"])
    name = problem["type"].removeprefix(URN)
    headers = response["responseParameters"]

    assert set(problem) == {"type", "title", "status", "detail", "instance"}
    assert problem["status"] == int(response["statusCode"])
    assert problem["instance"] == "$context.extendedRequestId"
    assert headers["gatewayresponse.header.Content-Type"] == f"'{MEDIA_TYPE}'"
    assert headers["gatewayresponse.header.X-Request-Id"] == "context.extendedRequestId"
    assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == {"Fn::Sub": "'${AllowedOrigins}'"}
    assert {name: headers[f"gatewayresponse.header.{name}"] for name in SECURITY_HEADERS} == {
        name: f"'{value}'" for name, value in SECURITY_HEADERS.items()
    }
    entry = CATALOGUE[name]
    detail = FAULTS_OF_TOKENS.get(kind, "") + entry.detail
    assert (problem["status"], problem["title"], problem["detail"]) == (entry.status, entry.title, detail)


@pytest.mark.parametrize(
    ("rejection", "said"), [(EXPIRED, "The incoming token has expired. Send"), (UNAUTHORIZED, "Unauthorized. Send")]
)
def test_the_gateway_says_whether_a_token_has_expired(rejection: GatewayRejection, said: str) -> None:
    """As far as API Gateway knows it: it puts its message into our words."""
    responses = GatewayResponses(list(read_gateway_responses(load_api())))
    answer = responses.build_response(rejection, {"extendedRequestId": "r-1"})
    problem = json.loads(answer.body)
    assert (answer.status, problem["type"], problem["instance"]) == (401, f"{URN}unauthenticated", "r-1")
    assert problem["detail"].startswith(said)


def test_every_kind_of_gateway_response_is_ours() -> None:
    """No kind falls back to the gateway's own format."""
    assert set(load_api()["x-amazon-apigateway-gateway-responses"]) == set(RESPONSE_TYPES.split())


def test_a_refusal_says_what_to_do_about_it() -> None:
    """A throttled caller learns when to return, one without a token which kind to bring."""
    responses = load_api()["x-amazon-apigateway-gateway-responses"]
    for kind, response in responses.items():
        headers = response["responseParameters"]
        assert ("gatewayresponse.header.Retry-After" in headers) == (int(response["statusCode"]) == 429), kind
        assert ("gatewayresponse.header.WWW-Authenticate" in headers) == (int(response["statusCode"]) == 401), kind


def test_browsers_may_send_every_method_there_is() -> None:
    """The preflight names HEAD as well, which is served wherever GET is."""
    methods = {route.method.upper() for route in CONTRACT} | {"HEAD", "OPTIONS"}

    assert set(PREFLIGHT["Access-Control-Allow-Methods"].split(",")) == methods
