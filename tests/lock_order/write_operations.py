"""Every use case that writes, as an operation that an execution environment runs on the sample records."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from agents.app import api as agents_api
from claims.app import api as claims_api
from housekeeping.app import Housekeeper
from jobs_api.app import api as jobs_api
from members.app import api as members_api
from operations.free_address import FreeAddress, free_address
from operations.reconciliation import ReconcileRestore, RestoreReconciliation
from operations.staff import CreateStaff, OperatorContext, RemoveStaff, create_staff, remove_staff
from relay.app import relay_batch
from shared.admission.ports import StoredAnswer
from shared.clock import read_utc_now
from shared.database.transaction import Committed, Transaction
from shared.deadline import Deadline
from tests.api_client import ApiClient, ApiReply, make_claims, make_container
from tests.databases import make_deadline
from tests.fakes.admission import InMemoryAdmissionStore
from tests.fakes.documents import FakeDocumentStore
from tests.fakes.mailer import FakeMailer
from tests.fakes.queues import FakeJobQueues
from tests.integration.function_client import GENEROUS
from tests.lock_order.sample_records import NOT_AN_IMAGE, SampleRecords
from tests.restore.listed_keys import ListedKeys, ListedObjects, NothingListed, make_key
from tests.sample_people import make_applicant, make_claim_body, make_person
from worker.job_runner import JobRunner, MailSettings

APIS = (agents_api, members_api, claims_api, jobs_api)

Around = Callable[[Transaction], Transaction]


@dataclass(frozen=True)
class WrappedDatabase:
    """A database whose use cases see their transaction by way of `around`."""

    database: Any
    around: Around

    def run(self, use_case: Callable[[Transaction], Any], deadline: Deadline, **more: Any) -> Committed[Any]:
        """See Database."""
        committed: Committed[Any] = self.database.run(lambda tx: use_case(self.around(tx)), deadline, **more)
        return committed

    def run_once(
        self, use: Any, use_case: Callable[[Transaction], Any], deadline: Deadline, **more: Any
    ) -> Committed[Any]:
        """See Database."""
        committed: Committed[Any] = self.database.run_once(use, lambda tx: use_case(self.around(tx)), deadline, **more)
        return committed


@dataclass
class OperationEnvironment:
    """An execution environment on the sample records. Its keys are in the database alone; `own` is a part of each."""

    records: SampleRecords
    settings: Any
    database: Any
    evidence: FakeDocumentStore
    own: str = ""
    queues: FakeJobQueues = field(default_factory=FakeJobQueues)

    def __post_init__(self) -> None:
        state = InMemoryAdmissionStore()
        state.reachable = False
        settings = self.settings.model_copy(update={"limits": GENEROUS})
        parts = {
            "database": self.database,
            "admission_store": state,
            "queues": self.queues,
            "document_store": self.evidence,
        }
        self._container = make_container(settings, **parts, _verifier=lambda _token: self.agent)

    def call(self, who: Mapping[str, str] | None, operation: str, body: Any = None, **more: Any) -> ApiReply:
        """Call an operation of any function."""
        method, resource = operation.split()
        [api] = [api for api in APIS if (method, resource) in api.operations]
        key = f"{operation} {self.own}".replace(" ", "-")
        ids: dict[str, Any] = {name: str(it) if isinstance(it, UUID) else it for name, it in more.items()}
        return ApiClient(api, self._container, who).call(method, resource, body, key=key, **ids)

    def read_version(self, table: str, record: UUID) -> int:
        """Return the version of a record, as somebody has just read it."""
        writes = {
            "agents": ("GET /agents/{agent_id}", "agent_id"),
            "claims": ("GET /claims/{claim_id}", "claim_id"),
            "members": ("GET /members/{member_id}", "member_id"),
        }
        operation, name = writes[table]
        return int(self.call(self.staff, operation, **{name: record}).json["version"])

    @property
    def staff(self) -> Mapping[str, str]:
        """The staff member's token."""
        return make_claims(f"sub-{self.records.staff}", "staff")

    @property
    def admin(self) -> Mapping[str, str]:
        """The admin's token."""
        return make_claims(f"sub-{self.records.admin}", "admin")

    @property
    def member(self) -> Mapping[str, str]:
        """The member's token."""
        return make_claims(f"sub-{self.records.member}", "member")

    @property
    def agent(self) -> Mapping[str, str]:
        """The agent's token."""
        return make_claims(f"sub-{self.records.agent}", "agent")


Act = Callable[[OperationEnvironment], object]

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


def _register_client(environment: OperationEnvironment) -> ApiReply:
    return environment.call(
        None, REGISTER, make_person(email=environment.records.email), headers={"Authorization": "Bearer agent"}
    )


def _change_state(environment: OperationEnvironment, who: Mapping[str, str], to: str) -> ApiReply:
    claim = environment.records.claim
    body = {"to": to, "reason": "Checked."}
    return environment.call(who, MOVE, body, if_match=environment.read_version("claims", claim), claim_id=claim)


def _assign(environment: OperationEnvironment, assignee: UUID | None) -> ApiReply:
    claim, body = environment.records.claim, {"staff_id": str(assignee) if assignee else None}
    return environment.call(
        environment.staff, ASSIGN, body, if_match=environment.read_version("claims", claim), claim_id=claim
    )


def _change(environment: OperationEnvironment, who: Mapping[str, str], member: UUID, operation: str) -> ApiReply:
    version, ids = environment.read_version("members", member), {"member_id": member} if operation == CHANGE else {}
    return environment.call(who, operation, {"language": "en"}, if_match=version, **ids)


def _announce(environment: OperationEnvironment) -> ApiReply:
    body = {"file_name": "a.png", "content_type": "image/png", "size": len(NOT_AN_IMAGE)}
    return environment.call(environment.member, ANNOUNCE, body, claim_id=environment.records.claim)


def _complete(environment: OperationEnvironment) -> ApiReply:
    return environment.call(
        environment.member, COMPLETE, claim_id=environment.records.claim, document_id=environment.records.document
    )


def _remove_document(environment: OperationEnvironment) -> ApiReply:
    return environment.call(
        environment.member,
        REMOVE_DOCUMENT,
        claim_id=environment.records.claim,
        document_id=environment.records.document,
    )


def _decide(environment: OperationEnvironment, agent: UUID, decision: str) -> ApiReply:
    return environment.call(environment.staff, DECIDE, {"decision": decision, "reason": "Checked."}, agent_id=agent)


def _change_terms(environment: OperationEnvironment) -> ApiReply:
    agent = environment.records.agent
    version = environment.read_version("agents", agent)
    return environment.call(
        environment.admin, CHANGE_TERMS, {"commission_rate": "0.25"}, if_match=version, agent_id=agent
    )


def _decide_commission(environment: OperationEnvironment, decision: str) -> ApiReply:
    body = {"decision": decision, "reason": "Checked."}
    return environment.call(environment.staff, DECIDE_COMMISSION, body, commission_id=environment.records.commission)


def _run_task(name: str, environment: OperationEnvironment) -> int:
    keeper = Housekeeper(environment.database, environment.evidence, read_utc_now, "request-1", make_deadline(60))
    done: int = getattr(keeper, name)()
    return done


class _OpenCircuit:
    """A circuit that lets nobody through."""

    def measure_wait_s(self) -> float:
        """See Gate."""
        return 10.0


def _make_worker(environment: OperationEnvironment, **circuits: _OpenCircuit) -> JobRunner:
    office = MailSettings("desk@example.test", "en", "https://app.example.test")
    return JobRunner(
        environment.database,
        FakeMailer(),
        environment.records.identities,
        environment.queues,
        office,
        read_utc_now,
        circuits=circuits,
    )


def _relay(environment: OperationEnvironment, *, broken: bool) -> bool:
    environment.queues.broken = broken
    sent = relay_batch(environment.database, environment.queues, clock=read_utc_now, deadline=make_deadline(60))
    return (sent == 0) == broken


def _create_staff(environment: OperationEnvironment) -> object:
    new = CreateStaff(
        command="create-staff", email=environment.records.email, full_name="Drita Berisha", role="staff", language="sq"
    )
    return create_staff(new, _make_operator_context(environment))


def _make_operator_context(environment: OperationEnvironment) -> OperatorContext:
    return OperatorContext(environment.database, environment.records.identities, make_deadline(60), "invocation-1")


def _remove_staff(environment: OperationEnvironment) -> object:
    gone = RemoveStaff(command="remove-staff", email=f"{environment.records.colleague}@example.test")
    return remove_staff(gone, _make_operator_context(environment))


def _free_an_address(environment: OperationEnvironment) -> object:
    asked = FreeAddress(command="free-address", email=f"{environment.records.newcomer}@example.test")
    return free_address(asked, _make_operator_context(environment))


def _reconcile_restore(environment: OperationEnvironment) -> object:
    """Give back the key of a lost registration, mark the mails that wait, and put uploads back."""
    nothing, records = NothingListed(), environment.records
    objects = ListedObjects([f"claims/{records.claim}/{each}/1" for each in (records.document, *records.stale)])
    lost = make_key(ago=timedelta(0), answer=StoredAnswer(201, {}, '{"number": "MEM-2026-000001"}'))
    asked = ReconcileRestore(command="reconcile-restore", restored_to=read_utc_now(), apply=True)
    return RestoreReconciliation(
        asked,
        environment.database,
        ListedKeys([[lost]]),
        objects,
        nothing,
        objects,
        read_utc_now,
        make_deadline(60),
        "invocation-1",
    ).run()


def list_housekeeping_tasks() -> Iterator[str]:
    """Yield the housekeeper's tasks, by name."""
    for name, _ in inspect.getmembers(Housekeeper, inspect.isfunction):
        if not name.startswith("_") and name != "run":
            yield name


# By the operation if there is one, and by the caller if that makes a difference.
ACTS: dict[str, Act] = {
    f"{REGISTER} with a code": lambda s: s.call(
        None, REGISTER, make_person(email=s.records.email, referral_code=s.records.code)
    ),
    f"{REGISTER} by an agent": _register_client,
    f"{CHANGE} by staff": lambda s: _change(s, s.staff, s.records.newcomer, CHANGE),
    f"{CHANGE_OWN} by its member": lambda s: _change(s, s.member, s.records.member, CHANGE_OWN),
    f"{RENEW} by staff": lambda s: s.call(s.staff, RENEW, member_id=s.records.newcomer),
    f"{RENEW} by its member": lambda s: s.call(s.member, RENEW, member_id=s.records.member),
    f"{RENEW} of one that has lapsed": lambda s: s.call(s.staff, RENEW, member_id=s.records.lapsed[0]),
    f"{CANCEL} by staff": lambda s: s.call(s.staff, CANCEL, member_id=s.records.newcomer),
    f"{CANCEL} by its member": lambda s: s.call(s.member, CANCEL, member_id=s.records.member),
    f"{PAUSE} by staff": lambda s: s.call(s.staff, PAUSE, member_id=s.records.member),
    f"{RESUME} by staff": lambda s: s.call(s.staff, RESUME, member_id=s.records.paused),
    f"{APPLY} by anyone": lambda s: s.call(None, APPLY, make_applicant(email=s.records.email)),
    f"{APPLY} again": lambda s: s.call(None, APPLY, make_applicant(email=f"{s.records.rejected}@example.test")),
    f"{DECIDE} on an applicant": lambda s: _decide(s, s.records.applicant, "approve"),
    f"{DECIDE} on the agent": lambda s: _decide(s, s.records.agent, "suspend"),
    f"{CHANGE_TERMS} by an admin": _change_terms,
    f"{DECIDE_COMMISSION} to approve": lambda s: _decide_commission(s, "approve"),
    f"{DECIDE_COMMISSION} to void": lambda s: _decide_commission(s, "void"),
    f"{PAY} by an admin": lambda s: s.call(s.admin, PAY, {"month": "2025-01"}),
    f"{SUBMIT} by its member": lambda s: s.call(s.member, SUBMIT, make_claim_body()),
    f"{LIST} by staff": lambda s: s.call(s.staff, LIST),
    f"{MOVE} by staff": lambda s: _change_state(s, s.staff, "verification"),
    f"{MOVE} by its member": lambda s: _change_state(s, s.member, "withdrawn"),
    f"{ASSIGN} to a colleague": lambda s: _assign(s, s.records.colleague),
    f"{ASSIGN} to nobody": lambda s: _assign(s, None),
    f"{ANNOUNCE} by its member": _announce,
    f"{COMPLETE} by its member": _complete,
    f"{REMOVE_DOCUMENT} by its member": _remove_document,
    f"{REPLAY} by an admin": lambda s: s.call(s.admin, REPLAY, job_id=s.records.failed_job),
    f"{DISMISS} by an admin": lambda s: s.call(s.admin, DISMISS, {"reason": "not-needed"}, job_id=s.records.failed_job),
    **{f"housekeeping {name}": partial(_run_task, name) for name in list_housekeeping_tasks()},
    "relay": partial(_relay, broken=False),
    "relay without a queue": partial(_relay, broken=True),
    "worker, a mail": lambda s: _make_worker(s).run_job(s.records.mail_job, make_deadline(60)),
    "worker, a mail that waits": lambda s: _make_worker(s, mail=_OpenCircuit()).run_job(
        s.records.mail_job, make_deadline(60)
    ),
    "worker, an identity": lambda s: _make_worker(s).run_job(s.records.identity_job, make_deadline(60)),
    "create-staff": _create_staff,
    "remove-staff": _remove_staff,
    "free-address": _free_an_address,
    "reconcile-restore": _reconcile_restore,
}


def list_writing_operations() -> set[str]:
    """Return every operation of the functions that writes."""
    found = (operation for api in APIS for operation in api.operations.values())
    return {f"{operation.method} {operation.resource}" for operation in found if operation.is_write}


def has_succeeded(outcome: object) -> bool:
    """Return whether an operation has done its work."""
    if isinstance(outcome, ApiReply):
        return outcome.status in (200, 201, 204) or (outcome.status == 422 and outcome.problem == "document-mismatch")
    return bool(outcome) and outcome != "skipped"
