"""People who register all the time, each with a key of their own, and repeat a call until it is answered."""

from threading import Event, Thread

from tests.e2e.cloud import RunningCloud
from tests.sample_people import make_person
from tests.soak.ledger import SoakLedger
from tests.soak.load import GIVE_UP_S, TRY_S, PatientCaller, read_acknowledged

USERS = 50
PAUSE_S = (3.0, 9.0)  # between two registrations of one user


class RegistrationLoad:
    """The users, each in a thread, until they are asked to stop."""

    def __init__(self, cloud: RunningCloud, *, seed: int) -> None:
        self.ledger = SoakLedger()
        self._failures: list[BaseException] = []
        self._cloud = cloud
        self._over = Event()
        callers = [PatientCaller(cloud.make_client(), self.ledger, f"{seed} {n}") for n in range(USERS)]
        self._threads = [Thread(target=self._register, args=(caller,), daemon=True) for caller in callers]

    def start(self) -> None:
        """Let them begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish their call, and raise what went wrong with any."""
        self._over.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S + TRY_S)
        assert not any(thread.is_alive() for thread in self._threads)
        if self._failures:
            raise self._failures[0]

    def _register(self, caller: PatientCaller) -> None:
        try:
            while not self._over.wait(caller.random.uniform(*PAUSE_S)):
                if record := read_acknowledged(caller.write("/members", make_person())):
                    self.ledger.note("member.registered", record)
        except BaseException as error:  # noqa: BLE001 - raised to the one who waits
            self._failures.append(error)
