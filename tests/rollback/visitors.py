"""People who register and who read all the time: each repeats a call, with its key, until it is answered."""

import time
from collections import Counter
from collections.abc import Callable
from threading import Event, Lock, Thread

import httpx

from tests.e2e.cloud import RunningCloud
from tests.e2e.cloud_users import CloudUsers
from tests.sample_people import make_person
from tests.soak.ledger import SoakLedger
from tests.soak.load import GIVE_UP_S, PASSING, RETRY_S, TRY_S, PatientCaller, read_acknowledged

USERS = 50
READERS = 25  # of them; the others register
PAUSE_S = (2.0, 8.0)  # between two calls of one user
READ = "read "  # before the status of a try to read, in the ledger's count of tries


class VisitorLoad:
    """The users, each in a thread, until they are asked to stop."""

    def __init__(self, cloud: RunningCloud, *, seed: int) -> None:
        self.ledger = SoakLedger()
        self.reads = 0
        self._failures: list[BaseException] = []
        self._cloud = cloud
        self._seed = seed
        self._over = Event()
        self._lock = Lock()
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Sign in the member whose claims are read, and let the users begin."""
        member, client = CloudUsers(self._cloud).make_member()
        self.ledger.note("member.registered", member)
        token = client.headers["Authorization"].removeprefix("Bearer ")
        for number in range(USERS):
            act = self._read if number < READERS else self._register
            own = self._cloud.make_client(token=token if number < READERS else None)
            thread = Thread(target=self._run_user, args=(act, own, f"{self._seed} {number}"), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let each finish their call, and raise what went wrong with any."""
        self._over.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S + TRY_S)
        assert not any(thread.is_alive() for thread in self._threads)
        if self._failures:
            raise self._failures[0]

    def copy_tries(self) -> Counter[str]:
        """Return what the tries until now came to."""
        return self.ledger.tries.copy()

    def _run_user(self, act: Callable[[PatientCaller, httpx.Client], None], client: httpx.Client, seed: str) -> None:
        caller = PatientCaller(client, self.ledger, seed)
        try:
            while not self._over.wait(caller.random.uniform(*PAUSE_S)):
                act(caller, client)
        except BaseException as error:  # noqa: BLE001 - raised to the one who waits
            self._failures.append(error)

    def _register(self, caller: PatientCaller, _client: httpx.Client) -> None:
        if record := read_acknowledged(caller.write("/members", make_person())):
            self.ledger.note("member.registered", record)

    def _read(self, caller: PatientCaller, client: httpx.Client) -> None:
        until = time.monotonic() + GIVE_UP_S
        while (status := client.get("/claims", timeout=TRY_S).status_code) in PASSING and time.monotonic() < until:
            self.ledger.note_attempt(f"{READ}{status}")
            time.sleep(caller.random.uniform(*RETRY_S))
        assert status == 200, status
        self.ledger.note_attempt(f"{READ}{status}")
        with self._lock:
            self.reads += 1
