"""The local cloud's front page: who to sign in as, what was called and what became of it, and the state of each part."""
