"""A front page with something in every part, and names that would break a page which did not escape them."""

from dataclasses import replace

from local.front.model import (
    AlarmLine,
    CircuitLine,
    DatabaseAccess,
    EnvironmentLine,
    FrontView,
    JobLine,
    MailLine,
    OutboxLine,
    PagePart,
    QueueLine,
    RequestLine,
    TraceStep,
    TraceView,
)
from local.front.people import SignedIn

AT = "2026-11-27T12:50:09.552Z"
REQUEST_ID = "01a21d0e-5a19-7580-ae82-3ef9ae757a18"
MARKUP = '<b>"Zoë" & co</b>'
SIGNED_IN = SignedIn("staff@interdomestik.test", "staff", "e30." + "x" * 900 + ".signature", "2026-11-27T13:50:38Z")


def make_request(**changes: object) -> RequestLine:
    """Return a registration with its jobs and its mail."""
    jobs = [
        JobLine("01a21d0e-1", "identity", "", "high", "failed", 5, "UserPoolGone", AT, REQUEST_ID),
        JobLine("01a21d0e-2", "mail", "member-welcome", "normal", "done", 1, "", AT, REQUEST_ID),
    ]
    mails = [MailLine("m1", MARKUP, "besa@example.test", AT, REQUEST_ID)]
    line = RequestLine(REQUEST_ID, "g1", "t1", AT, "POST", "/members", 201, 524, "MembersFunction", "", jobs, mails)
    return replace(line, **changes)  # type: ignore[arg-type]


def make_front_view(**changes: object) -> FrontView:
    """Return a page on which much is wrong, so that all of it is shown."""
    refused = make_request(request_id="g2", status=429, function="", refused_as="THROTTLED", jobs=(), mails=())
    broken = make_request(request_id="g3", status=502, jobs=(), mails=(), route="/claims/{claim_id}/transitions")
    view = FrontView(
        at=AT,
        requests=PagePart([make_request(), refused, broken]),
        outbox=PagePart([OutboxLine("pending", 3, 7400), OutboxLine("failed", 1, 95), OutboxLine("done", 0, None)]),
        jobs=PagePart([replace(job, state="pending", attempts=0, error="circuit-open") for job in make_request().jobs]),
        queues=PagePart([QueueLine("QueueHigh", 2, 1, 0, False), QueueLine("DeadLetterHigh", 1, 0, 0, True)]),
        circuits=PagePart(
            [
                CircuitLine("email", "open", True, AT, "", 4, 3, ""),
                CircuitLine("identity", "closed", False, "", "", 0, 0, ""),
            ]
        ),
        environments=PagePart(
            [
                EnvironmentLine("MembersFunction", 190, 1, 2, {"busy": 1, "idle": 3}, 41, [101, 102, 103, 104]),
                EnvironmentLine("ClaimsFunction", 190, 0, 0, {}, 0, []),
            ]
        ),
        alarms=PagePart(
            [AlarmLine("DegradedAlarm", "ALARM", MARKUP), AlarmLine("LatencyAlarm", "OK", "Calls are slow.")]
        ),
        mails=PagePart([MailLine("m1", MARKUP, "besa@example.test", AT, REQUEST_ID)]),
        database=DatabaseAccess("make psql", "host=127.0.0.1 port=1 user=u dbname=d"),
    )
    return replace(view, **changes)  # type: ignore[arg-type]


def make_trace_view() -> TraceView:
    """Return the trace of the registration."""
    steps = [
        TraceStep(AT, "gateway", "gateway", "POST /members → 201", {"gateway_id": "g1", "latency_ms": 524}),
        TraceStep(AT, "log", "MembersFunction", "request", {"path": "/a/very/long/" + "path" * 40}),
        TraceStep(AT, "mail", "inbox", MARKUP, {"to": "besa@example.test", "id": "m1"}),
    ]
    return TraceView(REQUEST_ID, [make_request()], PagePart(steps, "the database does not answer: OperationalError"))
