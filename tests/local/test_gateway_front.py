"""The front as a client sees it, over a real socket and real environments."""

import base64
import concurrent.futures
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.local.gateways import (
    RunningGateway,
    make_function,
    make_gateway_response,
    make_route,
    make_stack,
    run_gateway,
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Yield a gateway with a route for each behaviour."""
    functions = [make_function(name) for name in ("noop", "echo", "answer", "crash", "big", "leave")]
    functions += [
        make_function("sleep", timeout_s=1),
        make_function("busy", handler="sample.sleep", reserved_concurrency=1),
    ]
    functions += [make_function("broken", handler="broken.handler")]
    routes = [make_route("ANY", f"/{f.logical_id}", f.logical_id) for f in functions]
    routes += [
        make_route("GET", "/things/{id}", "echo"),
        make_route("GET", "/things/me", "noop"),
        make_route("ANY", "/files/{path+}", "echo"),
        make_route("POST", "/limited", "noop", rate=0.001, burst=3),
        make_route("GET", "/secret", "echo", authorized=True),
    ]
    kinds = {"MISSING_AUTHENTICATION_TOKEN": 404, "THROTTLED": 429, "REQUEST_TOO_LARGE": 413, "DEFAULT_5XX": 502}
    description = make_stack(
        functions,
        routes,
        gateway_responses=[make_gateway_response(kind, status) for kind, status in kinds.items()],
        binary_media_types=["application/octet-stream", "image/*"],
        minimum_compression=1024,
    )
    with run_gateway(description, tmp_path_factory.mktemp("front")) as running:
        yield running


def read_event(gateway: RunningGateway, path: str, method: str = "GET", **request: Any) -> dict[str, Any]:
    """Return the event that a request becomes."""
    reply = gateway.call(method, path, **request)
    assert reply.status == 200, reply
    seen: dict[str, Any] = reply.read_json()["event"]
    return seen


def send_answer(gateway: RunningGateway, answer: object, **headers: str) -> Any:
    """Return what the gateway makes of a function's answer."""
    return gateway.call("POST", "/api/answer", body=json.dumps(answer).encode(), **headers)


def test_an_event_carries_all_that_a_rest_api_sends(gateway: RunningGateway) -> None:
    """Multi-value headers and parameters, the raw path, the peer's address and the request's ids."""
    seen = read_event(
        gateway, "/api/things/a%2Fb?x=1&x=2&y=%C3%A9+e&z", source="127.0.0.2", X_Forwarded_For="203.0.113.7"
    )
    assert (seen["path"], seen["resource"]) == ("/things/a%2Fb", "/things/{id}")
    assert seen["pathParameters"] == {"id": "a%2Fb"}
    assert seen["queryStringParameters"] == {"x": "2", "y": "é e", "z": ""}
    assert seen["multiValueQueryStringParameters"] == {"x": ["1", "2"], "y": ["é e"], "z": [""]}
    assert seen["headers"]["X-Forwarded-For"] == "203.0.113.7, 127.0.0.2"
    assert (seen["body"], seen["isBase64Encoded"]) == (None, False)
    context = seen["requestContext"]
    assert context["identity"]["sourceIp"] == "127.0.0.2"
    assert (context["path"], context["stage"], context["resourcePath"]) == ("/api/things/a%2Fb", "api", "/things/{id}")
    assert context["httpMethod"] == "GET"
    assert context["requestTimeEpoch"] > 1_700_000_000_000
    assert "authorizer" not in context


def test_the_answer_names_the_request_id_of_the_event(gateway: RunningGateway) -> None:
    """x-amzn-RequestId, the event and the Lambda context agree, so a log line can be found."""
    reply = gateway.call("GET", "/api/echo")
    seen = reply.read_json()
    assert reply.headers["x-amzn-requestid"] == seen["event"]["requestContext"]["requestId"] == seen["request_id"]


def test_a_request_id_of_the_clients_choice_is_taken_but_never_as_the_extended_one(gateway: RunningGateway) -> None:
    """API Gateway does the same; Lambda's request id is another one."""
    context = read_event(gateway, "/api/echo", X_Amzn_RequestId="chosen-by-me")["requestContext"]
    assert context["requestId"] == "chosen-by-me"
    assert context["extendedRequestId"] != "chosen-by-me"
    for refused in ("with space", "x" * 129):
        assert read_event(gateway, "/api/echo", X_Amzn_RequestId=refused)["requestContext"]["requestId"] != refused


@pytest.mark.parametrize(
    ("path", "resource"),
    [("/api/things/me", None), ("/api/things/7/", "/things/{id}"), ("/api/files/a/b", "/files/{path+}")],
)
def test_the_most_specific_resource_wins(gateway: RunningGateway, path: str, resource: str | None) -> None:
    """A literal beats {param}, which beats {proxy+}; a trailing slash makes no difference."""
    reply = gateway.call("GET", path)
    assert reply.status == 200
    assert reply.read_json().get("event", {}).get("resource") == resource


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/nowhere"), ("DELETE", "/api/things/7"), ("GET", "/api/files/")]
)
def test_an_unknown_path_or_method_gets_the_templates_own_answer(
    gateway: RunningGateway, method: str, path: str
) -> None:
    """The gateway response, with its status, headers and $context variables."""
    reply = gateway.call(method, path)
    assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
    assert reply.read_json()["detail"] == "Missing Authentication Token"
    assert reply.read_json()["instance"] == reply.headers["x-request-id"] == reply.headers["x-amzn-requestid"]


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest.mark.parametrize("path", ["/index.html", "/apish/noop", "/other/noop"])
def test_outside_the_stage_there_is_nothing(gateway: RunningGateway, path: str, method: str) -> None:
    """Another stage is forbidden, in words that nobody customised: on AWS too no API of ours is behind such a path."""
    reply = gateway.call(method, path)
    assert (reply.status, reply.headers["content-type"]) == (403, "application/json")
    assert reply.read_json() == {"message": "Forbidden"}
    assert "x-request-id" not in reply.headers


def test_a_preflight_reaches_the_function_by_the_route_for_other_methods(gateway: RunningGateway) -> None:
    """The gateway answers no OPTIONS by itself; where there is no such route it is an unknown method."""
    seen = read_event(gateway, "/api/echo", "OPTIONS", Origin="https://app.example.test")
    assert (seen["httpMethod"], seen["headers"]["Origin"]) == ("OPTIONS", "https://app.example.test")
    assert gateway.call("OPTIONS", "/api/things/7", Origin="https://app.example.test").status == 404


def test_a_preflight_is_answered_without_a_body(gateway: RunningGateway) -> None:
    """A function's 204 stays one: no body, no length."""
    preflight = {"statusCode": 204, "headers": {"Access-Control-Max-Age": "7200"}, "body": ""}
    reply = send_answer(gateway, preflight)
    assert (reply.status, reply.body, reply.headers["access-control-max-age"]) == (204, b"", "7200")
    assert "content-length" not in reply.headers


def exchange_bytes(gateway: RunningGateway, text: bytes) -> bytes:
    """Send bytes on one connection; return all that comes back until the gateway closes it."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as line:
        line.sendall(text)
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_head_has_the_length_and_no_body(gateway: RunningGateway) -> None:
    """ANY takes HEAD; its answer ends after the headers."""
    received = exchange_bytes(gateway, b"HEAD /api/noop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Length: 2\r\n" in received
    assert received.endswith(b"\r\n\r\n")


def test_a_method_over_its_burst_gets_429_and_others_pass(gateway: RunningGateway) -> None:
    """A burst of three: exactly three of nine at once pass, and another method is not touched."""
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        statuses = list(pool.map(lambda _: gateway.call("POST", "/api/limited", body=b"{}").status, range(9)))
    assert sorted(statuses) == [200] * 3 + [429] * 6
    assert gateway.call("GET", "/api/noop").status == 200


def test_a_body_over_10_mb_gets_413_and_reads_as_a_problem(gateway: RunningGateway) -> None:
    """The whole body is taken off the line first, so that the client sees the answer."""
    reply = gateway.call("POST", "/api/echo", body=b"x" * (11 * 1024 * 1024))
    assert (reply.status, reply.headers["content-type"]) == (413, "application/problem+json")


def test_a_body_over_lambdas_6_mb_gets_413(gateway: RunningGateway) -> None:
    """API Gateway accepts such a body, but Lambda does not."""
    assert gateway.call("POST", "/api/echo", body=b"x" * (7 * 1024 * 1024)).status == 413


def test_headers_over_10_kb_are_refused(gateway: RunningGateway) -> None:
    """Request line and headers together may take 10,240 bytes."""
    assert gateway.call("GET", "/api/noop", X_Long="x" * 9_000).status == 200
    assert gateway.call("GET", "/api/noop", X_Long="x" * 11_000).status == 431


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {"body": "no status"},
        {"statusCode": "two hundred"},
        {"statusCode": 200, "body": {"not": "a string"}},
        {"statusCode": 200, "body": 7},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a": {"b": 1}}},
        {"statusCode": 200, "multiValueHeaders": {"a": "b"}},
        {"statusCode": 200, "cookies": []},
        {"statusCode": 7000},
    ],
)
def test_a_malformed_answer_is_a_502(gateway: RunningGateway, answer: object) -> None:
    """A proxy integration takes one shape of answer, and no other field."""
    reply = send_answer(gateway, answer)
    assert (reply.status, reply.headers["content-type"]) == (502, "application/problem+json")


@pytest.mark.parametrize("name", ["crash", "leave", "big", "broken", "sleep?seconds=3"])
def test_a_function_that_fails_is_a_502_and_says_nothing(gateway: RunningGateway, name: str) -> None:
    """A raise, an exit, 7 MB, an import error and a timeout look the same from outside."""
    reply = gateway.call("GET", f"/api/{name}")
    assert (reply.status, reply.read_json()["detail"]) == (502, "Internal server error")


def test_a_function_at_its_concurrency_is_a_500(gateway: RunningGateway) -> None:
    """Lambda's 429 reaches a caller of API Gateway as an internal error, here by way of DEFAULT_5XX."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        statuses = list(pool.map(lambda _: gateway.call("GET", "/api/busy").status, range(3)))
    assert sorted(statuses) == [200, 502, 502]
    assert gateway.read_status("busy")["throttles"] == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [({"ReservedConcurrentExecutions": 0}, 200), ({"ReservedConcurrentExecutions": -1}, 400), ({}, 400)],
)
def test_reserved_concurrency_is_put_as_by_lambdas_api(gateway: RunningGateway, body: object, status: int) -> None:
    """With 0 every invocation is refused, until there is some again; what can't be read changes nothing."""
    path = "/2017-10-31/functions/noop/concurrency"
    before = gateway.read_status("noop")["limit"]
    reply = gateway.call("PUT", path, body=json.dumps(body).encode())
    assert reply.status == status
    assert gateway.invoke("noop").status == (429 if status == 200 else 200)
    assert gateway.call("PUT", path.replace("noop", "nobody"), body=json.dumps(body).encode()).status == 404
    gateway.call("PUT", path, body=json.dumps({"ReservedConcurrentExecutions": before}).encode())
    assert (gateway.invoke("noop").status, gateway.read_status("noop")["limit"]) == (200, before)


def test_headers_of_an_answer_are_joined_remapped_and_kept_to_one_line(gateway: RunningGateway) -> None:
    """multiValueHeaders repeat, reserved names are renamed, and no value can start a header of its own."""
    headers = {"X-One": "a\r\nX-Two: b", "Date": "never", "WWW-Authenticate": "Bearer", "Transfer-Encoding": "chunked"}
    reply = send_answer(gateway, {"statusCode": "201", "headers": headers, "multiValueHeaders": {"X-Many": ["1", "2"]}})
    assert reply.status == 201
    assert reply.headers["x-one"] == "a  X-Two: b"
    assert reply.headers["x-amzn-remapped-www-authenticate"] == "Bearer"
    assert reply.headers["x-amzn-remapped-date"] == "never"
    assert "transfer-encoding" not in reply.headers
    assert reply.headers["content-type"] == "application/json"


def test_binary_bodies_travel_as_base64_both_ways(gateway: RunningGateway) -> None:
    """A binary media type is encoded on the way in, and decoded on the way out for a client that accepts it."""
    raw = bytes(range(256))
    seen = read_event(gateway, "/api/echo", "POST", body=raw, Content_Type="image/png")
    assert (seen["isBase64Encoded"], base64.b64decode(seen["body"])) == (True, raw)
    encoded = {"statusCode": 200, "body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
    assert send_answer(gateway, encoded, Accept="application/octet-stream").body == raw
    assert send_answer(gateway, encoded).body == base64.b64encode(raw)


def test_text_that_is_not_utf_8_is_replaced(gateway: RunningGateway) -> None:
    """A body that is no binary media type is text, whatever its bytes are."""
    assert (
        read_event(gateway, "/api/echo", "POST", body=b'{"a": "\xff"}', Content_Type="application/json")["body"]
        == '{"a": "�"}'
    )


def test_large_answers_are_compressed_for_those_who_ask(gateway: RunningGateway) -> None:
    """gzip above the minimum size, and never without Accept-Encoding."""
    long = {"statusCode": 200, "body": "Besa " * 1000}
    reply = send_answer(gateway, long, Accept_Encoding="gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == send_answer(gateway, long, Accept_Encoding="identity").body


def test_a_compressed_body_is_unpacked_within_the_limit(gateway: RunningGateway) -> None:
    """A function sees the text; a bomb is a 413, nonsense a 400."""
    packed = gzip.compress(b'{"a": 1}')
    assert read_event(gateway, "/api/echo", "POST", body=packed, Content_Encoding="gzip")["body"] == '{"a": 1}'
    bomb = gzip.compress(b"0" * (20 * 1024 * 1024))
    assert gateway.call("POST", "/api/echo", body=bomb, Content_Encoding="gzip").status == 413
    assert gateway.call("POST", "/api/echo", body=b"nonsense", Content_Encoding="gzip").status == 400


def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    """Two requests in one packet on one connection, the second with a chunked body: two answers, in order."""
    first = b"GET /api/things/one HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /api/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    second = head + b"3\r\nabc\r\n0\r\n\r\n"
    received = exchange_bytes(gateway, first + second)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"things/one") < received.index(b'"body": "abc"')


def test_an_offer_to_upgrade_is_declined_by_an_ordinary_answer(gateway: RunningGateway) -> None:
    """curl --http2 makes such an offer; the connection is closed, since nobody reads on."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    received = exchange_bytes(gateway, b"GET /api/noop HTTP/1.1\r\nHost: a\r\n" + offer)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"{}")


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        (b"\x16\x03\x01 this is not HTTP\r\n\r\n", b"400 Bad Request", b"Bad Request"),
        (
            b"GET /api/noop HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n",
            b"431 Request Header Fields Too Large",
            b"Request Header Fields Too Large",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_words_that_nobody_customised(
    gateway: RunningGateway, sent: bytes, status: bytes, message: bytes
) -> None:
    """No gateway response stands for bytes that are no request, so AWS has no template for them either.

    Nonsense ends its own connection only.
    """
    head, _, body = exchange_bytes(gateway, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert body == b'{"message":"%s"}' % message
    assert b"problem+json" not in head
    assert gateway.call("GET", "/api/noop").status == 200


def test_only_loopback_is_listened_on(gateway: RunningGateway) -> None:
    """Another address of this machine refuses the connection."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", gateway.port), timeout=2)


@pytest.mark.parametrize("headers", [{"Origin": "https://elsewhere.example.test"}, {"Host": "rebound.example.test"}])
def test_a_web_page_of_elsewhere_cannot_invoke_functions(gateway: RunningGateway, headers: dict[str, str]) -> None:
    """The Invoke API is for programs of this machine."""
    assert gateway.invoke("noop", **headers).status == 403


def test_a_request_without_a_token_gets_401(gateway: RunningGateway) -> None:
    """The authorizer needs no key to refuse nothing."""
    assert gateway.call("GET", "/api/secret").status == 401
