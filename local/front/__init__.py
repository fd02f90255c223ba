"""The local cloud's front page: who to sign in as, what was called and what came of it, and the state of each part."""
