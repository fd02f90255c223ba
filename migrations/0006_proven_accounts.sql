-- When an account's owner first made a signed-in call: until then nobody has shown that the address is theirs.

ALTER TABLE accounts ADD COLUMN proven_at timestamptz;
