"""A client that calls a function's API as API Gateway does, in this process, with a container of the test's choice."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.api.router import Api
from shared.container import Container
from shared.settings import Settings
from tests.gateway_events import build_request_event
from tests.roles import RoleConnector

CLIENT_ID = "tests"  # of the app client whose tokens the functions of the tests accept


def make_claims(sub: str, *groups: str) -> dict[str, str]:
    """Return an access token's claims as API Gateway hands them on."""
    return {"sub": sub, "cognito:groups": ",".join(groups), "token_use": "access", "client_id": CLIENT_ID}


STAFF = make_claims("staff-1", "staff")
ADMIN = make_claims("admin-1", "admin")


class LambdaContext:
    """The part of Lambda's context that handlers read."""

    aws_request_id = "invocation-1"

    def __init__(self, seconds: float = 10.0) -> None:
        self._milliseconds = int(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@dataclass(frozen=True)
class ApiReply:
    """A function's answer to a call."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The problem's name, without the URN's head."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        return str(self.json["type"]).rpartition(":")[2]

    @property
    def pointers(self) -> list[str]:
        """The fields that the problem names."""
        return [error["pointer"] for error in self.json["errors"]]


@dataclass
class ApiClient:
    """A client of one function."""

    api: Api[Any]
    container: Container
    claims: Mapping[str, str] | None = None
    source_ip: str = "127.0.0.9"
    seconds: float = 10.0
    headers: Mapping[str, str] = field(default_factory=dict)
    base_path: str = "/api"  # the stage, or what a custom domain has in its place

    def sign_in_as(self, claims: Mapping[str, str] | None) -> "ApiClient":
        """Return the same client signed in as somebody else."""
        return ApiClient(self.api, self.container, claims, self.source_ip, self.seconds, self.headers, self.base_path)

    def call(
        self,
        method: str,
        resource: str,
        body: Any = None,
        *,
        raw: str | None = None,
        base64: bool = False,
        query: Mapping[str, str | list[str]] | None = None,
        key: str | None = None,
        if_match: int | str | None = None,
        headers: Mapping[str, str] | None = None,
        **ids: str,
    ) -> ApiReply:
        """Make one call and return its reply; `ids` are the path's parameters, `if_match` a version or a whole tag."""
        sent: dict[str, str] = {"Content-Type": "application/json", **self.headers, **(headers or {})}
        if key is not None:
            sent["Idempotency-Key"] = key
        if if_match is not None:
            sent["If-Match"] = f'"{if_match}"' if isinstance(if_match, int) else if_match
        event = build_request_event(
            method,
            resource,
            raw if raw is not None else json.dumps(body) if body is not None else None,
            ids=ids,
            query={k: v if isinstance(v, list) else [v] for k, v in query.items()} if query else None,
            headers=sent,
            claims=self.claims,
            source_ip=self.source_ip,
            base_path=self.base_path,
            base64=base64,
        )
        answer = self.api.handle(event, LambdaContext(self.seconds), self.container)
        return ApiReply(answer["statusCode"], answer["headers"], answer["body"])


def make_container(settings: Settings | None = None, **parts: Any) -> Container:
    """Return a composition root with some parts replaced: database, admission_store, queues, document_store, clock."""
    clock = parts.pop("clock", None)
    base = settings or Settings(cursor_secret="tests")
    base = base if base.user_pool_client_id else base.model_copy(update={"user_pool_client_id": CLIENT_ID})
    container = Container(base, clock) if clock else Container(base)
    container.__dict__["connector"] = RoleConnector(base)
    for name, part in parts.items():
        assert isinstance(getattr(Container, name), object)
        container.__dict__[name] = part  # what functools.cached_property would have kept
    return container
