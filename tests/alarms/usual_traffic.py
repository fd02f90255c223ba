"""People who use a local cloud as on an ordinary day: about a call a second, within every limit."""

import itertools
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.cloud import RunningCloud
from tests.e2e.cloud_users import CloudUsers, add_key
from tests.sample_people import make_applicant, make_claim_body, make_person

PAUSE_S = 1.0  # between two calls
STOP_S = 90.0
MEMBERS = 8  # a member may submit five claims in ten minutes


class UsualTraffic:
    """Traffic on a cloud within the block; `calls` counts answers, `refused` those of 400 and above."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.calls = 0
        self.refused: list[str] = []
        self._cloud = cloud
        self._people = CloudUsers(cloud)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        """Register members and a staff member, and begin."""
        members = [self._people.make_member()[1] for _ in range(MEMBERS)]
        self._member, self._submitters = members[0], itertools.cycle(members)
        self._staff, self._admin = self._people.make_staff(), self._people.make_staff("admin")
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End, and raise what went wrong."""
        self._over.set()
        self._thread.join(STOP_S)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for act in itertools.cycle(self._list_acts()):
                act()
                if self._over.wait(PAUSE_S):
                    return
        except BaseException as error:  # noqa: BLE001 - raised to the one who waits
            self._error = error

    def _list_acts(self) -> list[Callable[[], object]]:
        """Return a round of calls: mostly reading, some of the writing that sends mails."""
        visitor = self._cloud.make_client()
        reading: list[Callable[[], object]] = [
            lambda: self._call(visitor, "GET", "/health"),
            lambda: self._call(self._member, "GET", "/claims"),
            lambda: self._call(self._staff, "GET", "/claims"),
            lambda: self._call(visitor, "GET", "/openapi.json"),
            lambda: self._call(self._admin, "GET", "/jobs"),
            lambda: self._call(self._staff, "GET", "/agents"),
        ]
        writing: Iterator[Callable[[], object]] = iter((self._register_member, self._handle_claim, self._apply))
        return [act for write in writing for act in (*reading, *reading, write)]

    def _register_member(self) -> None:
        self._write(self._cloud.make_client(), "/members", make_person())

    def _apply(self) -> None:
        self._write(self._cloud.make_client(), "/agents", make_applicant())

    def _handle_claim(self) -> None:
        claim = self._write(next(self._submitters), "/claims", make_claim_body()).json()
        tag = {"If-Match": f'"{claim["version"]}"'}
        move = {"to": "verification", "reason": "As agreed."}
        self._write(self._staff, f"/claims/{claim['id']}/transitions", move, **tag)

    def _write(self, client: httpx.Client, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return self._call(client, "POST", path, json=body, headers=add_key(**headers))

    def _call(self, client: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
        reply = client.request(method, path, **options)
        self.calls += 1
        if reply.is_error:
            self.refused.append(f"{method} {path} {reply.status_code}")
        return reply
