-- A mail tells the event it was written for: its facts are kept with its job, by whatever statement writes the job, and
-- forgotten when the job is done.

-- What there is to say now about a mail's subject: an agent, a member or a claim. A fact that does not exist is null.
CREATE FUNCTION mail_facts(subject uuid, payload jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
           'full_name', r.full_name, 'email', r.email, 'referral_code', g.referral_code,
           'member_number', m.number, 'plan', s.plan, 'price', s.price::text,
           'starts_on', s.starts_on, 'ends_on', membership_end(s, local_today()),
           'currency', coalesce(c.currency, s.currency),
           'claim_number', c.number, 'title', c.title, 'category', c.category, 'company_name', c.company_name,
           'amount', c.amount::text, 'incident_date', c.incident_date, 'incident_country', c.incident_country,
           'state', c.state, 'state_since', c.state_since, 'days', extract(day FROM t.breach_after)::text,
           'assignee', d.full_name, 'from_state', h.from_state, 'to_state', h.to_state, 'reason', h.reason,
           'decline_code', h.decline_code)
    FROM (SELECT substring(payload->>'to' FROM '^account:([0-9a-f-]{36})$')::uuid AS id) AS recipient
    LEFT JOIN accounts r ON r.id = recipient.id
    LEFT JOIN agents g ON g.id = subject
    LEFT JOIN claims c ON c.id = subject
    LEFT JOIN claim_states t ON t.state = c.state
    LEFT JOIN members m ON m.id = coalesce(c.member_id, subject)
    LEFT JOIN subscriptions s ON s.member_id = m.id
    LEFT JOIN accounts d ON d.id = c.assignee_id
    LEFT JOIN claim_history h ON h.claim_id = c.id AND h.version = coalesce(
        (payload->'facts'->>'version')::int, (SELECT max(version) FROM claim_history WHERE claim_id = c.id)));
END $$;

-- The same, where the job says nothing else itself.
CREATE FUNCTION with_mail_facts(subject uuid, payload jsonb) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT payload || jsonb_build_object(
        'facts', mail_facts(subject, payload) || coalesce(payload->'facts', '{}'))
$$;

-- In the transaction of the event, which has written the subject before its job.
CREATE FUNCTION keep_mail_facts() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.payload := with_mail_facts(NEW.subject_id, NEW.payload);
    RETURN NEW;
END $$;
CREATE TRIGGER outbox_keep_facts BEFORE INSERT ON outbox
    FOR EACH ROW WHEN (NEW.kind = 'mail') EXECUTE FUNCTION keep_mail_facts();

-- They name people: nobody needs them once the mail has left. A job that failed keeps them, so that it can be done again.
CREATE FUNCTION forget_mail_facts() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.payload := NEW.payload - 'facts';
    RETURN NEW;
END $$;
CREATE TRIGGER outbox_forget_facts BEFORE UPDATE OF state ON outbox
    FOR EACH ROW WHEN (NEW.state = 'done' AND NEW.payload ? 'facts') EXECUTE FUNCTION forget_mail_facts();

UPDATE outbox SET payload = payload - 'facts' WHERE state = 'done' AND payload ? 'facts';
