-- The relay reads by this index which answers it has to keep. Its entries leave it when the relay has kept the answer,
-- usually within two seconds. It is made in a transaction of its own: that of 0036 locks the table against reads too.

CREATE INDEX idempotency_keys_unkept ON idempotency_keys (holder) WHERE holder IS NOT NULL;
