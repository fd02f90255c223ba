"""Further tries: how long to wait before them, and how many are paid for. Pure: clock and randomness are passed in."""
