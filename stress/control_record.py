"""The result of a negative control, as it is kept in measurements/controls.json and shown in a report."""

from dataclasses import dataclass, field

NEVER_RUN = "never run"
PUBLISHED = "full"  # the profile of runs that are published


@dataclass(frozen=True)
class ControlRecord:
    """The result of a control, and digests of what it guards, by part: the service, the harness, the control itself.

    `red` is the check that turned red, or another reason of the same kind; `others` are all that did besides. `guards`
    is of the code that the control ran on, `guards_now` of the code that a report is about.
    """

    name: str
    scenario: str
    why: str
    detected: bool = False
    outcome: str = NEVER_RUN
    status: str = ""
    red: str = ""
    others: list[str] = field(default_factory=list)
    when: str = ""
    commit: str = ""
    seconds: float = 0.0
    guards: dict[str, str] = field(default_factory=dict)
    guards_now: dict[str, str] = field(default_factory=dict)

    @property
    def doubt(self) -> str:
        """Return why the control proves nothing about the code of the report; empty if it proves what it should."""
        if not self.guards:
            return self.outcome
        if not self.detected:
            return f"not detected: {self.outcome} {self.status}".strip()
        changed = [f"the {part}" for part in self.guards_now if self.guards.get(part) != self.guards_now[part]]
        if changed or not self.guards_now:
            return f"older than the code: {' and '.join(changed) or 'something'} has changed since"
        return ""


def find_doubt(profile: str, controls: list[ControlRecord]) -> str:
    """Return why the controls keep a run from being PASS; empty if they don't.

    Only a full run is held to them: nothing else is published, and every change makes some of them older than the code.
    """
    return summarise_doubts(controls) if profile == PUBLISHED else ""


def summarise_doubts(controls: list[ControlRecord]) -> str:
    """Return in a sentence why the controls as a whole prove nothing; empty if each was detected in the same code."""
    if not controls:
        return "No result of a control came with the run: nothing shows that its checks can fail."
    older = sum(control.doubt.startswith("older") for control in controls)
    missed = sum(bool(control.doubt) for control in controls) - older
    parts = [f"{older} are older than the code they guard"] if older else []
    parts += [f"{missed} were not detected, or never run"] if missed else []
    return f"Of {len(controls)} controls {' and '.join(parts)}." if parts else ""
