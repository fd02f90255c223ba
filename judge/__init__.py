"""Programs that judge a run from its raw files, and share no code with what they judge."""
