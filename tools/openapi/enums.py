"""The named enums of the API's description: what each is called, and what its values are about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from agents.model import (
    AgentDecisionKind,
    AgentState,
    CommissionDecisionKind,
    CommissionKind,
    CommissionState,
    Tier,
)
from claims.model import ActorRole, Category, ClaimState, ContentType, DeclineCode, DocumentState
from health.model import CircuitState, DatabaseRole, HealthStatus
from jobs_api.model import DismissalReason, JobKind, JobPriority, JobState, ListedState, Reason
from members.model import MembershipState, Plan
from shared.fields import HomeCountry, Language
from shared.fields.code_lists import COUNTRIES, CURRENCIES
from tools.openapi.completeness import UnnamedEnum


@dataclass(frozen=True, slots=True)
class NamedEnum:
    """The values of an enum, and what they are about."""

    values: tuple[str, ...]
    description: str


def _name(literal: Any, description: str) -> NamedEnum:
    return NamedEnum(get_args(literal), description)


ENUMS: Mapping[str, NamedEnum] = {
    "ActorRole": _name(ActorRole, "The role of the person who acted."),
    "AgentDecisionKind": _name(AgentDecisionKind, "What staff decide about an agent."),
    "AgentState": _name(
        AgentState,
        "An agent's state: `pending` until staff decide, `active` while new members may give the agent's code,"
        " `suspended` until staff reinstate the agent, `rejected` if the application was.",
    ),
    "Category": _name(Category, "What a claim is about."),
    "CircuitState": _name(
        CircuitState, "The state of a circuit breaker: while it is `open`, the service isn't called."
    ),
    "ClaimState": _name(
        ClaimState,
        "How far a claim is. Staff move it from `submitted` to verification, evaluation or rejected; from"
        " `verification` to evaluation or submitted; from `evaluation` to negotiation, verification, rejected or"
        " resolved; from `negotiation` to court, resolved, evaluation or rejected; from `court` to resolved,"
        " rejected or negotiation; from `resolved` to evaluation or negotiation; from `rejected` to evaluation."
        " Its member may move it from `submitted`, `verification` or `evaluation` to withdrawn, which is final.",
    ),
    "CommissionDecisionKind": _name(CommissionDecisionKind, "What staff decide about a commission."),
    "CommissionKind": _name(CommissionKind, "Whether the commission is for a new membership or for a renewal."),
    "CommissionState": _name(
        CommissionState,
        "A commission's state: `pending` until staff approve or void it, then `approved` until a payout run has paid"
        " it. `paid` and `void` are final.",
    ),
    "ContentType": _name(ContentType, "The types of files that documents may have."),
    "Country": NamedEnum(COUNTRIES, "A country by its code in ISO 3166-1 alpha-2, with XK for Kosovo."),
    "Currency": NamedEnum(CURRENCIES, "A currency by its code in ISO 4217."),
    "DatabaseRole": _name(DatabaseRole, "Whether the database's server takes writes."),
    "DeclineCode": _name(
        DeclineCode, "Why a claim was rejected, as a code; the reason of the transition says it in words."
    ),
    "DismissalReason": _name(DismissalReason, "Why a job was dismissed; see Dismissal."),
    "DocumentState": _name(
        DocumentState,
        "A document's state: `pending` until its upload is completed, then `available`, or `rejected` if the file is"
        " not what was announced.",
    ),
    "HealthStatus": _name(HealthStatus, "How well it works: `degraded` still takes work, `unhealthy` does not."),
    "HomeCountry": _name(HomeCountry, "The countries in which members register; each stack serves one of them."),
    "JobKind": _name(JobKind, "What a job does: it sends a mail, or makes or changes a sign-in."),
    "JobPriority": _name(JobPriority, "How soon a job is to be done, compared with others."),
    "JobReason": _name(Reason, "Why a job is not done; see JobView."),
    "JobState": _name(JobState, "A job's state; `uncertain` if its mail may or may not have been sent."),
    "Language": _name(Language, "The language of mails: Albanian, English, Macedonian or Serbian."),
    "ListedState": _name(ListedState, "The states by which jobs are listed: `pending` has those that are queued, too."),
    "MembershipState": _name(
        MembershipState,
        "A membership's state on the day of the call. `active` gives access to services, and `past_due` does"
        " until 14 days after the last paid day; `paused` gives none until staff resume it, `canceled` and"
        " `expired` have ended.",
    ),
    "Plan": _name(
        Plan,
        "What a membership covers: one person (`basic`, `standard`), five people (`family`), or ten vehicles or"
        " properties (`business`).",
    ),
    "Tier": _name(Tier, "An agent's tier; commission rates do not depend on it."),
}


def find_name(values: Iterable[str]) -> str:
    """Return the name of the enum with these values. Raise UnnamedEnum unless there is exactly one."""
    wanted = tuple(values)
    names = [name for name, enum in ENUMS.items() if enum.values == wanted]
    if len(names) != 1:
        raise UnnamedEnum(
            f"{len(names)} names in tools/openapi/enums.py for the values {', '.join(wanted)}: give them one"
        )
    return names[0]


def build_enum_schema(name: str) -> dict[str, Any]:
    """Return the component that describes an enum."""
    enum = ENUMS[name]
    return {"description": enum.description, "enum": list(enum.values), "type": "string"}
