"""Every use case that writes, as something that an execution environment does on a scene."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from agents.app import api as agents_api
from claims.app import api as claims_api
from housekeeping.app import Housekeeper
from jobs_api.app import api as jobs_api
from members.app import api as members_api
from operations.free_address import FreeAddress, free_address
from operations.staff import CreateStaff, OperatorContext, RemoveStaff, create_staff, remove_staff
from relay.app import relay_batch
from shared.clock import read_utc_now
from shared.database.transaction import Committed, Transaction
from shared.deadline import Deadline
from tests.databases import soon
from tests.fakes.evidence import FakeEvidence
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeQueues
from tests.fakes.state import InMemoryStateStore
from tests.harness import Client, Reply, claims_of, wired
from tests.integration.room import GENEROUS
from tests.locks.scene import NOT_AN_IMAGE, Scene
from tests.people import applicant, person, trouble
from worker.job_runner import JobRunner, MailSettings

APIS = (agents_api, members_api, claims_api, jobs_api)

Around = Callable[[Transaction], Transaction]


@dataclass(frozen=True)
class Surrounded:
    """A database whose use cases see their transaction by way of `around`."""

    database: Any
    around: Around

    def run(self, use_case: Callable[[Transaction], Any], deadline: Deadline, **more: Any) -> Committed[Any]:
        """See Database."""
        landed: Committed[Any] = self.database.run(lambda tx: use_case(self.around(tx)), deadline, **more)
        return landed

    def run_once(
        self, use: Any, use_case: Callable[[Transaction], Any], deadline: Deadline, **more: Any
    ) -> Committed[Any]:
        """See Database."""
        landed: Committed[Any] = self.database.run_once(use, lambda tx: use_case(self.around(tx)), deadline, **more)
        return landed


@dataclass
class Stage:
    """An execution environment on a scene. Its keys rest on the database alone, and are its own if `own` says so."""

    scene: Scene
    settings: Any
    database: Any
    evidence: FakeEvidence
    own: str = ""
    queues: FakeQueues = field(default_factory=FakeQueues)

    def __post_init__(self) -> None:
        state = InMemoryStateStore()
        state.reachable = False
        settings = self.settings.model_copy(update={"limits": GENEROUS})
        parts = {
            "database": self.database,
            "admission_store": state,
            "queues": self.queues,
            "document_store": self.evidence,
        }
        self._container = wired(settings, **parts, _verifier=lambda _token: self.agent)

    def call(self, who: Mapping[str, str] | None, operation: str, body: Any = None, **more: Any) -> Reply:
        """Call an operation of any room."""
        method, resource = operation.split()
        [api] = [api for api in APIS if (method, resource) in api.operations]
        key = f"{operation} {self.own}".replace(" ", "-")
        ids: dict[str, Any] = {name: str(it) if isinstance(it, UUID) else it for name, it in more.items()}
        return Client(api, self._container, who).call(method, resource, body, key=key, **ids)

    def version(self, table: str, record: UUID) -> int:
        """The version of a record, as somebody has just read it."""
        rooms = {
            "agents": ("GET /agents/{agent_id}", "agent_id"),
            "claims": ("GET /claims/{claim_id}", "claim_id"),
            "members": ("GET /members/{member_id}", "member_id"),
        }
        operation, name = rooms[table]
        return int(self.call(self.staff, operation, **{name: record}).json["version"])

    @property
    def staff(self) -> Mapping[str, str]:
        """Their token."""
        return claims_of(f"sub-{self.scene.staff}", "staff")

    @property
    def admin(self) -> Mapping[str, str]:
        """The admin's token."""
        return claims_of(f"sub-{self.scene.admin}", "admin")

    @property
    def member(self) -> Mapping[str, str]:
        """The member's token."""
        return claims_of(f"sub-{self.scene.member}", "member")

    @property
    def agent(self) -> Mapping[str, str]:
        """The agent's token."""
        return claims_of(f"sub-{self.scene.agent}", "agent")


Act = Callable[[Stage], object]

REGISTER, RENEW, CANCEL = (
    "POST /members",
    "POST /members/{member_id}/renewals",
    "POST /members/{member_id}/cancellation",
)
PAUSE, RESUME = "POST /members/{member_id}/pause", "POST /members/{member_id}/resume"
CHANGE, CHANGE_OWN = "PATCH /members/{member_id}", "PATCH /members/me"
APPLY, DECIDE, CHANGE_TERMS = "POST /agents", "POST /agents/{agent_id}/decision", "PATCH /agents/{agent_id}"
DECIDE_COMMISSION, PAY = "POST /commissions/{commission_id}/decision", "POST /payouts"
SUBMIT, MOVE, ASSIGN = "POST /claims", "POST /claims/{claim_id}/transitions", "PUT /claims/{claim_id}/assignee"
ANNOUNCE = "POST /claims/{claim_id}/documents"
LIST = "GET /claims"
COMPLETE = "POST /claims/{claim_id}/documents/{document_id}/completion"
REMOVE_DOCUMENT = "DELETE /claims/{claim_id}/documents/{document_id}"
REPLAY, DISMISS = "POST /jobs/{job_id}/replay", "POST /jobs/{job_id}/dismiss"


def _register_client(stage: Stage) -> Reply:
    return stage.call(None, REGISTER, person(email=stage.scene.email), headers={"Authorization": "Bearer agent"})


def _move(stage: Stage, who: Mapping[str, str], to: str) -> Reply:
    claim = stage.scene.claim
    body = {"to": to, "reason": "Checked."}
    return stage.call(who, MOVE, body, if_match=stage.version("claims", claim), claim_id=claim)


def _assign(stage: Stage) -> Reply:
    claim, body = stage.scene.claim, {"staff_id": str(stage.scene.colleague)}
    return stage.call(stage.staff, ASSIGN, body, if_match=stage.version("claims", claim), claim_id=claim)


def _change(stage: Stage, who: Mapping[str, str], member: UUID, operation: str) -> Reply:
    version, ids = stage.version("members", member), {"member_id": member} if operation == CHANGE else {}
    return stage.call(who, operation, {"language": "en"}, if_match=version, **ids)


def _announce(stage: Stage) -> Reply:
    body = {"file_name": "a.png", "content_type": "image/png", "size": len(NOT_AN_IMAGE)}
    return stage.call(stage.member, ANNOUNCE, body, claim_id=stage.scene.claim)


def _complete(stage: Stage) -> Reply:
    return stage.call(stage.member, COMPLETE, claim_id=stage.scene.claim, document_id=stage.scene.document)


def _remove_document(stage: Stage) -> Reply:
    return stage.call(stage.member, REMOVE_DOCUMENT, claim_id=stage.scene.claim, document_id=stage.scene.document)


def _decide(stage: Stage, agent: UUID, decision: str) -> Reply:
    return stage.call(stage.staff, DECIDE, {"decision": decision, "reason": "Checked."}, agent_id=agent)


def _change_terms(stage: Stage) -> Reply:
    agent = stage.scene.agent
    version = stage.version("agents", agent)
    return stage.call(stage.admin, CHANGE_TERMS, {"commission_rate": "0.25"}, if_match=version, agent_id=agent)


def _decide_commission(stage: Stage, decision: str) -> Reply:
    body = {"decision": decision, "reason": "Checked."}
    return stage.call(stage.staff, DECIDE_COMMISSION, body, commission_id=stage.scene.commission)


def _chore(name: str, stage: Stage) -> int:
    keeper = Housekeeper(stage.database, stage.evidence, read_utc_now, "request-1", soon(60))
    done: int = getattr(keeper, name)()
    return done


class _Open:
    """A circuit that lets nobody through."""

    def measure_wait_s(self) -> float:
        """See Gate."""
        return 10.0


def _worker(stage: Stage, **circuits: _Open) -> JobRunner:
    office = MailSettings("desk@example.test", "en", "https://app.example.test")
    return JobRunner(
        stage.database, FakeMailer(), stage.scene.identities, stage.queues, office, read_utc_now, circuits=circuits
    )


def _relay(stage: Stage, *, broken: bool) -> bool:
    stage.queues.broken = broken
    sent = relay_batch(stage.database, stage.queues, clock=read_utc_now, deadline=soon(60))
    return (sent == 0) == broken


def _create_staff(stage: Stage) -> object:
    new = CreateStaff(
        command="create-staff", email=stage.scene.email, full_name="Drita Berisha", role="staff", language="sq"
    )
    return create_staff(new, _tools(stage))


def _tools(stage: Stage) -> OperatorContext:
    return OperatorContext(stage.database, stage.scene.identities, soon(60), "invocation-1")


def _remove_staff(stage: Stage) -> object:
    gone = RemoveStaff(command="remove-staff", email=f"{stage.scene.colleague}@example.test")
    return remove_staff(gone, _tools(stage))


def _free_address(stage: Stage) -> object:
    asked = FreeAddress(command="free-address", email=f"{stage.scene.newcomer}@example.test")
    return free_address(asked, _tools(stage))


def chores() -> Iterator[str]:
    """The housekeeper's chores, by name."""
    for name, _ in inspect.getmembers(Housekeeper, inspect.isfunction):
        if not name.startswith("_") and name != "run":
            yield name


# By operation where there is one, and by who does it where that makes a difference.
ACTS: dict[str, Act] = {
    f"{REGISTER} with a code": lambda s: s.call(
        None, REGISTER, person(email=s.scene.email, referral_code=s.scene.code)
    ),
    f"{REGISTER} by an agent": _register_client,
    f"{CHANGE} by staff": lambda s: _change(s, s.staff, s.scene.newcomer, CHANGE),
    f"{CHANGE_OWN} by its member": lambda s: _change(s, s.member, s.scene.member, CHANGE_OWN),
    f"{RENEW} by staff": lambda s: s.call(s.staff, RENEW, member_id=s.scene.newcomer),
    f"{RENEW} by its member": lambda s: s.call(s.member, RENEW, member_id=s.scene.member),
    f"{RENEW} of one that has lapsed": lambda s: s.call(s.staff, RENEW, member_id=s.scene.lapsed[0]),
    f"{CANCEL} by staff": lambda s: s.call(s.staff, CANCEL, member_id=s.scene.newcomer),
    f"{CANCEL} by its member": lambda s: s.call(s.member, CANCEL, member_id=s.scene.member),
    f"{PAUSE} by staff": lambda s: s.call(s.staff, PAUSE, member_id=s.scene.member),
    f"{RESUME} by staff": lambda s: s.call(s.staff, RESUME, member_id=s.scene.paused),
    f"{APPLY} by anyone": lambda s: s.call(None, APPLY, applicant(email=s.scene.email)),
    f"{APPLY} again": lambda s: s.call(None, APPLY, applicant(email=f"{s.scene.rejected}@example.test")),
    f"{DECIDE} on an applicant": lambda s: _decide(s, s.scene.applicant, "approve"),
    f"{DECIDE} on the agent": lambda s: _decide(s, s.scene.agent, "suspend"),
    f"{CHANGE_TERMS} by an admin": _change_terms,
    f"{DECIDE_COMMISSION} to approve": lambda s: _decide_commission(s, "approve"),
    f"{DECIDE_COMMISSION} to void": lambda s: _decide_commission(s, "void"),
    f"{PAY} by an admin": lambda s: s.call(s.admin, PAY, {"month": "2025-01"}),
    f"{SUBMIT} by its member": lambda s: s.call(s.member, SUBMIT, trouble()),
    f"{LIST} by staff": lambda s: s.call(s.staff, LIST),
    f"{MOVE} by staff": lambda s: _move(s, s.staff, "verification"),
    f"{MOVE} by its member": lambda s: _move(s, s.member, "withdrawn"),
    f"{ASSIGN} to a colleague": _assign,
    f"{ANNOUNCE} by its member": _announce,
    f"{COMPLETE} by its member": _complete,
    f"{REMOVE_DOCUMENT} by its member": _remove_document,
    f"{REPLAY} by an admin": lambda s: s.call(s.admin, REPLAY, job_id=s.scene.failed_job),
    f"{DISMISS} by an admin": lambda s: s.call(s.admin, DISMISS, {"reason": "not-needed"}, job_id=s.scene.failed_job),
    **{f"housekeeping {name}": partial(_chore, name) for name in chores()},
    "relay": partial(_relay, broken=False),
    "relay without a queue": partial(_relay, broken=True),
    "worker, a mail": lambda s: _worker(s).run_job(s.scene.mail_job, soon(60)),
    "worker, a mail that waits": lambda s: _worker(s, mail=_Open()).run_job(s.scene.mail_job, soon(60)),
    "worker, an identity": lambda s: _worker(s).run_job(s.scene.identity_job, soon(60)),
    "create-staff": _create_staff,
    "remove-staff": _remove_staff,
    "free-address": _free_address,
}


def writing_operations() -> set[str]:
    """Every operation of the rooms that writes."""
    found = (operation for api in APIS for operation in api.operations.values())
    return {f"{operation.method} {operation.resource}" for operation in found if operation.is_write}


def did(outcome: object) -> bool:
    """Whether an act has done what it is for."""
    if isinstance(outcome, Reply):
        return outcome.status in (200, 201, 204) or (outcome.status == 422 and outcome.problem == "document-mismatch")
    return bool(outcome) and outcome != "skipped"
