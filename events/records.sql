-- The records that the events are about, for a local database. Written once: what is there stays as it is.
-- tools/events/requests.py names them by the last digits of their ids.

BEGIN;
SET LOCAL session_replication_role = replica; -- triggers guard what functions may do, not what stands here

INSERT INTO accounts (id, role, identity_sub, language, email, full_name, phone, proven_at)
SELECT id::uuid, role, CASE WHEN signed_in THEN 'sub-' || id END, 'sq', email, full_name, '+38344123456', '2026-01-01'
FROM (VALUES
    ('00000000-0000-7000-8000-000000000001', 'admin', true, 'admin@example.test', 'Vjosa Berisha'),
    ('00000000-0000-7000-8000-000000000002', 'staff', true, 'staff@example.test', 'Blerim Gashi'),
    ('00000000-0000-7000-8000-000000000003', 'agent', true, 'agent@example.test', 'Arta Krasniqi'),
    ('00000000-0000-7000-8000-000000000004', 'agent', false, 'applicant@example.test', 'Fatmir Shala'),
    ('00000000-0000-7000-8000-000000000005', 'agent', true, 'premium@example.test', 'Hana Kelmendi'),
    ('00000000-0000-7000-8000-000000000006', 'staff', false, 'leaver@example.test', 'Luan Bytyqi'),
    ('00000000-0000-7000-8000-000000000011', 'member', true, 'member@example.test', 'Besa Hoxha'),
    ('00000000-0000-7000-8000-000000000012', 'member', true, 'renewing@example.test', 'Dren Morina'),
    ('00000000-0000-7000-8000-000000000013', 'member', true, 'leaving@example.test', 'Era Rexhepi'),
    ('00000000-0000-7000-8000-000000000014', 'member', true, 'pausing@example.test', 'Gent Osmani'),
    ('00000000-0000-7000-8000-000000000015', 'member', true, 'paused@example.test', 'Jeta Salihu'),
    ('00000000-0000-7000-8000-000000000016', 'member', true, 'edited@example.test', 'Korab Zeqiri'),
    ('00000000-0000-7000-8000-000000000017', 'member', false, 'newcomer@example.test', 'Lira Dervishi')
) AS people (id, role, signed_in, email, full_name)
ON CONFLICT DO NOTHING;

INSERT INTO agents (id, state, city, referral_code) VALUES
    ('00000000-0000-7000-8000-000000000003', 'active', 'Prizren', 'ARTA-E003'),
    ('00000000-0000-7000-8000-000000000004', 'pending', 'Gjakovë', 'FATM-E004'),
    ('00000000-0000-7000-8000-000000000005', 'active', 'Pejë', 'HANA-E005')
ON CONFLICT DO NOTHING;

INSERT INTO members (id, number, country, agent_id)
SELECT id, 'MEM-2026-9000' || right(id::text, 2), 'XK',
       CASE WHEN right(id::text, 2) = '11' THEN '00000000-0000-7000-8000-000000000003'::uuid END
FROM accounts
WHERE role = 'member' AND id::text LIKE '00000000-0000-7000-8000-0000000000__'
ON CONFLICT DO NOTHING;

INSERT INTO agent_clients (member_id, agent_id) VALUES
    ('00000000-0000-7000-8000-000000000011', '00000000-0000-7000-8000-000000000003')
ON CONFLICT DO NOTHING;

-- Half of their year is over; the pause of one began ten days ago.
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, anchor_on, period_starts_on, renewed_on, ends_on,
                           paused_on, price, currency)
SELECT ('00000000-0000-7000-8000-0000000001' || right(id::text, 2))::uuid, id, 'family',
       CASE WHEN paused THEN 'paused' ELSE 'active' END, day, day, day, day, day + 364,
       CASE WHEN paused THEN current_date - 10 END, 35, 'EUR'
FROM members, LATERAL (SELECT current_date - 182 AS day, right(id::text, 2) = '15' AS paused) AS facts
WHERE id::text LIKE '00000000-0000-7000-8000-0000000000__'
ON CONFLICT DO NOTHING;

INSERT INTO payouts (id, month, made_by) VALUES
    ('00000000-0000-7000-8000-000000000031', '2026-01-01', '00000000-0000-7000-8000-000000000001')
ON CONFLICT DO NOTHING;
INSERT INTO payout_statements (payout_id, agent_id, number, issued_on, total, currency) VALUES
    ('00000000-0000-7000-8000-000000000031', '00000000-0000-7000-8000-000000000003', 'PAY-2026-900031', '2026-02-01', 7, 'EUR')
ON CONFLICT DO NOTHING;

-- To be decided on, to be paid for February, and paid for January.
INSERT INTO commissions (id, agent_id, member_id, subscription_id, kind, period_starts_on, earned_on, rate, amount,
                         currency, state, payout_id)
SELECT id::uuid, '00000000-0000-7000-8000-000000000003', '00000000-0000-7000-8000-000000000011',
       '00000000-0000-7000-8000-000000000111', 'new', earned_on::date, earned_on::date, 0.2, 7, 'EUR', state,
       payout_id::uuid
FROM (VALUES
    ('00000000-0000-7000-8000-000000000021', '2026-03-10', 'pending', NULL),
    ('00000000-0000-7000-8000-000000000022', '2026-02-10', 'approved', NULL),
    ('00000000-0000-7000-8000-000000000023', '2026-01-10', 'paid', '00000000-0000-7000-8000-000000000031')
) AS earned (id, earned_on, state, payout_id)
ON CONFLICT DO NOTHING;

INSERT INTO claims (id, number, member_id, category, title, company_name, description, incident_date,
                    incident_country, amount, currency)
SELECT id::uuid, number, '00000000-0000-7000-8000-000000000011', 'travel', 'Cancelled flight PRN-ZRH', 'Example Air',
       'Cancelled two hours before departure. Nobody answered at the desk.', '2026-01-15', 'CH', 250, 'EUR'
FROM (VALUES
    ('00000000-0000-7000-8000-000000000041', 'CLM-2026-900041'),
    ('00000000-0000-7000-8000-000000000042', 'CLM-2026-900042'),
    ('00000000-0000-7000-8000-000000000043', 'CLM-2026-900043')
) AS filed (id, number)
ON CONFLICT DO NOTHING;

INSERT INTO claim_history (claim_id, version, from_state, to_state, actor_role, actor_id)
SELECT id, 1, NULL, 'submitted', 'member', member_id FROM claims
WHERE id::text LIKE '00000000-0000-7000-8000-0000000000__'
ON CONFLICT DO NOTHING;

-- The first one's file is uploaded beside this, by `make sam-local`.
INSERT INTO documents (id, claim_id, slot, file_name, content_type, size, object_key, state)
SELECT ('00000000-0000-7000-8000-0000000000' || number)::uuid, '00000000-0000-7000-8000-000000000041', slot,
       'boarding-pass.txt', 'text/plain', 14,
       'uploads/00000000-0000-7000-8000-000000000041/00000000-0000-7000-8000-0000000000' || number, state
FROM (VALUES ('51', 1, 'pending'), ('52', 2, 'available'), ('53', 3, 'pending')) AS announced (number, slot, state)
ON CONFLICT DO NOTHING;

-- Two that a person looks at, and what the queues' messages stand for: dated a year ahead, so that the relay leaves them
-- and health doesn't call them late, however much later their event is sent.
INSERT INTO outbox (id, kind, priority, subject_id, payload, state, last_error, leased_until, created_at)
SELECT ('00000000-0000-7000-8000-0000000000' || number)::uuid, kind, priority, account::uuid, payload::jsonb, state,
       CASE WHEN state = 'failed' THEN 'rejected' END, CASE WHEN state = 'queued' THEN now() + interval '1 year' END,
       CASE WHEN state = 'queued' THEN now() + interval '1 year' ELSE now() END
FROM (VALUES
    ('61', 'mail', 'low', '00000000-0000-7000-8000-000000000011', 'failed'),
    ('62', 'mail', 'low', '00000000-0000-7000-8000-000000000012', 'failed'),
    ('63', 'identity', 'high', '00000000-0000-7000-8000-000000000017', 'queued'),
    ('64', 'mail', 'normal', '00000000-0000-7000-8000-000000000011', 'queued'),
    ('65', 'mail', 'normal', '00000000-0000-7000-8000-000000000012', 'queued'),
    ('66', 'mail', 'low', '00000000-0000-7000-8000-000000000013', 'queued'),
    ('67', 'mail', 'low', '00000000-0000-7000-8000-000000000014', 'queued')
) AS jobs (number, kind, priority, account, state),
LATERAL (SELECT CASE kind
    WHEN 'identity' THEN json_build_object('account_id', account, 'group', 'member')
    ELSE json_build_object('template', 'member-welcome', 'to', 'account:' || account, 'facts', json_build_object())
END AS payload) AS written
ON CONFLICT DO NOTHING;

COMMIT;
