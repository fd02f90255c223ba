"""The checker of a run's history: it reads `history.jsonl.gz` and imports nothing of the product or the harness."""
