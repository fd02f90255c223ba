"""Programs that judge a run again from its files. They import nothing of the product and nothing of the harness."""
