-- The members from before are found too. The trigger of 0034 writes those who register or change meanwhile, and waits for
-- this only where it has just written the same member. No account is locked.

INSERT INTO member_search (id, names, phone)
SELECT id, make_search_text(full_name), coalesce(phone, '') FROM accounts WHERE role = 'member'
ON CONFLICT (id) DO NOTHING;
