"""The examples of all operations together, and what the ids of paths and the tags stand for."""

from collections.abc import Mapping

from tools.openapi.story import agents, claims, documentation, health, jobs, members
from tools.openapi.story.ids import ARTA, BESA, CLAIM, COMMISSION, DOCUMENT, JOB, PAYOUT
from tools.openapi.story.operation_example import OperationExample

EXAMPLES: Mapping[str, OperationExample] = {
    **agents.EXAMPLES,
    **members.EXAMPLES,
    **claims.EXAMPLES,
    **jobs.EXAMPLES,
    **health.EXAMPLES,
    **documentation.EXAMPLES,
}

# The ids in paths: what each is, and an example.
PATH_IDS: Mapping[str, tuple[str, str]] = {
    "agent_id": ("The agent's id.", ARTA),
    "claim_id": ("The claim's id.", CLAIM),
    "commission_id": ("The commission's id.", COMMISSION),
    "document_id": ("The document's id.", DOCUMENT),
    "job_id": ("The job's id.", JOB),
    "member_id": ("The member's id.", BESA),
    "payout_id": ("The payout run's id.", PAYOUT),
}

# An operation's tag is the first part of its id. They are shown in this order.
TAGS: Mapping[str, str] = {
    "agents": "Agents apply, are approved by staff, and bring members in. They see their clients, not their claims.",
    "members": "Members register, with an agent's code or without, and staff and they keep their membership.",
    "claims": "A member in trouble with a company files a claim, and staff carry it to an outcome, state by state.",
    "documents": "Documents of a claim: announce a file, upload it with the form you get, then complete it.",
    "commissions": "What agents earn by the memberships of their clients: staff approve it or void it.",
    "payouts": "Payout runs pay approved commissions once a month, with a statement for each agent.",
    "jobs": "Mails and sign-ins that the service makes after a call: those that are not done, for admins.",
    "health": "Whether the service and everything that it depends on work.",
    "documentation": "This description, and the page on which it can be read and tried.",
}
