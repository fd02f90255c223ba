"""Calls against the commits in PostgreSQL's own log: what was answered is there, in time and order, and nothing else.

The log's order is that of its positions (LSN). Which transaction a call made is known from the audit entry with the
call's request id, and from the row of its Idempotency-Key: the transaction that inserted them is in the rows (xmin).
"""

from math import inf

from judge.history.model import AuditFact, HistoryCall, HistoryFindings, LoggedCommit, RecordedHistory

# The commit record's time is read before it is written, and clocks are read to a microsecond.
EXACT_S = 0.0005


class RunTime:
    """The conversion of the database's clock to seconds of the run, between an earliest and a latest moment."""

    def __init__(self, history: RecordedHistory, found: HistoryFindings) -> None:
        """Take the readings of the clock; report it as stepped if no one difference agrees with all of them."""
        low = max((reading.database - reading.after for reading in history.clock), default=-inf)
        high = min((reading.database - reading.before for reading in history.clock), default=inf)
        found.count("readings of the clock", len(history.clock))
        if low > high + EXACT_S:
            found.add("clock-stepped", "clock", f"the readings differ by {low - high:.4f} s at least")
        self._low, self._high = min(low, high), max(low, high)

    def is_before(self, commit: LoggedCommit, moment: float) -> bool:
        """Return whether a commit was certainly before a moment of the run."""
        return commit.at - self._low < moment - EXACT_S

    def is_after(self, commit: LoggedCommit, moment: float) -> bool:
        """Return whether a commit was certainly after a moment of the run."""
        return commit.at - self._high > moment + EXACT_S


def check_commits(history: RecordedHistory, found: HistoryFindings) -> None:
    """Check each call against the log."""
    time = RunTime(history, found)
    found.count("commits in the log", len(history.commits))
    acknowledged: list[tuple[HistoryCall, LoggedCommit]] = []
    for call in history.calls:
        effect = history.effect_of.get(call.operation)
        if effect is None or effect.action is None:
            if not call.is_read:
                found.add("operation-without-promise", call.operation, f"call {call.id} writes, and nothing says what")
        elif call.is_refused:
            _check_refused(history, call, found)
        elif call.is_accepted and not call.replayed:
            commit = _check_accepted(history, call, time, found)
            if commit is not None:
                acknowledged.append((call, commit))
    _check_log_order(acknowledged, found)
    _check_keys(history, time, found)
    _check_unasked(history, found)


def _check_refused(history: RecordedHistory, call: HistoryCall, found: HistoryFindings) -> None:
    found.count("refused calls")
    allowed = history.effect_of[call.operation].refused_actions
    left = [a.action for a in history.audits_of_request.get(call.request, ()) if a.action not in allowed]
    if call.request and left:
        found.add("refused-but-committed", call.request, f"call {call.id} got {call.status}, and left {left}")


def _check_accepted(
    history: RecordedHistory, call: HistoryCall, time: RunTime, found: HistoryFindings
) -> LoggedCommit | None:
    found.count("acknowledged calls")
    effect = history.effect_of[call.operation]
    audits = [a for a in history.audits_of_request.get(call.request, ()) if a.action == effect.action]
    if not audits:
        if effect.always:
            found.add("acknowledged-not-committed", call.request, f"call {call.id} got {call.status}, and left nothing")
        return None
    if len(audits) > 1:
        found.add("committed-twice", call.request, f"call {call.id} has {len(audits)} entries of {effect.action}")
    commit = history.commit_of.get(audits[0].xid)
    if commit is None:
        found.add("acknowledged-not-committed", call.request, f"the log has no commit of call {call.id}")
        return None
    _check_interval(call, commit, time, found)
    return commit


def _check_interval(call: HistoryCall, commit: LoggedCommit, time: RunTime, found: HistoryFindings) -> None:
    if time.is_before(commit, call.begin):
        found.add("committed-before-its-call", call.request, f"call {call.id} began at {call.begin:.4f} s")
    if time.is_after(commit, call.end):
        found.add("committed-after-its-answer", call.request, f"call {call.id} was answered at {call.end:.4f} s")


def _check_log_order(acknowledged: list[tuple[HistoryCall, LoggedCommit]], found: HistoryFindings) -> None:
    """Check that a call that began after another's answer has a later place in the log; needs no clock."""
    found.count("calls in the order of the log", len(acknowledged))
    ended = sorted(acknowledged, key=lambda each: each[0].end)
    latest: tuple[HistoryCall, LoggedCommit] | None = None
    at = 0
    for call, commit in sorted(acknowledged, key=lambda each: each[0].begin):
        while at < len(ended) and ended[at][0].end < call.begin:
            if latest is None or ended[at][1].lsn > latest[1].lsn:
                latest = ended[at]
            at += 1
        if latest is not None and latest[1].lsn > commit.lsn:
            detail = f"call {call.id} began after call {latest[0].id} was answered, but its commit is before that one's"
            found.add("log-contradicts-time", call.request, detail)


def _check_keys(history: RecordedHistory, time: RunTime, found: HistoryFindings) -> None:
    for key, calls in history.calls_of_key.items():
        xids = history.xids_of_key.get(key, [])
        accepted = [call for call in calls if call.is_accepted]
        found.count("keys")
        if len(xids) > 1:
            found.add("key-used-twice", key, f"{len(xids)} transactions have taken it")
        elif not xids and any(call.replayed for call in accepted):
            found.add("key-lost", key, "its answer was repeated, but the database does not have it")
        elif not xids and any(_has_promise(history, call) for call in accepted):
            found.add("key-lost", key, f"call {accepted[0].id} was accepted, but the database does not have it")
        elif xids and all(call.is_refused for call in calls):
            found.add("refused-but-committed", key, f"all its {len(calls)} calls were refused, and it is there")
        if len({(call.record, call.version) for call in accepted if call.record}) > 1:
            found.add("key-answered-differently", key, f"calls {[call.id for call in accepted]} name different records")
        _check_transaction_of_key(history, calls, xids, time, found)


def _has_promise(history: RecordedHistory, call: HistoryCall) -> bool:
    """Return whether an accepted call must have left a key: it writes always, or has written this time.

    The second of two completions of a document finds it complete, and writes nothing.
    """
    effect = history.effect_of.get(call.operation)
    if effect is None or effect.action is None:
        return False
    return effect.always or any(a.action == effect.action for a in history.audits_of_request.get(call.request, ()))


def _check_transaction_of_key(
    history: RecordedHistory, calls: list[HistoryCall], xids: list[int], time: RunTime, found: HistoryFindings
) -> None:
    """Check that a key's transaction has all that its call promises, and committed before the first answer says so."""
    effect = history.effect_of.get(calls[0].operation)
    for xid in xids:
        commit = history.commit_of.get(xid)
        if commit is None:
            found.add("acknowledged-not-committed", calls[0].key or "", f"the log has no commit of transaction {xid}")
            continue
        if time.is_before(commit, calls[0].begin):
            found.add("committed-before-its-call", calls[0].key or "", f"call {calls[0].id} began later")
        answered = min((call.end for call in calls if call.is_accepted), default=inf)
        if time.is_after(commit, answered):
            found.add("committed-after-its-answer", calls[0].key or "", f"it was answered at {answered:.4f} s")
        actions = {audit.action for audit in history.audits_of_xid.get(xid, ())}
        if effect is not None and effect.action is not None and effect.always and effect.action not in actions:
            found.add("torn-transaction", calls[0].key or "", f"its transaction has no entry of {effect.action}")


def _check_unasked(history: RecordedHistory, found: HistoryFindings) -> None:
    """Check that each effect has a call that asked for it, once: by its request id, or by its key's transaction."""
    asked = {call.request for call in history.calls if call.request}
    keyed = {xid for key in history.calls_of_key for xid in history.xids_of_key.get(key, ())}
    actions = {effect.action for effect in history.effects if effect.action}
    for audit in history.audits:
        if audit.action not in actions:
            continue
        found.count("effects")
        if audit.request not in asked and audit.xid not in keyed:
            found.add("effect-without-call", audit.subject, f"{audit.action} in transaction {audit.xid}")
        _check_single_transaction(audit, history, found)


def _check_single_transaction(audit: AuditFact, history: RecordedHistory, found: HistoryFindings) -> None:
    same = {other.xid for other in history.audits_of_request[audit.request]}
    if len(same) > 1 and audit.xid == min(same):
        found.add("torn-transaction", audit.request, f"one request has committed in transactions {sorted(same)}")
