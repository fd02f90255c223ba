-- The members from before are found too. The triggers of 0034 write those who register or change meanwhile, and wait for
-- this only where it has just written the same member. No account is locked.

INSERT INTO member_search (id, names, phone)
SELECT m.id, make_search_text(a.full_name), coalesce(a.phone, '') FROM members m JOIN accounts a ON a.id = m.id
ON CONFLICT (id) DO NOTHING;
