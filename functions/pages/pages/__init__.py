"""Pages: the API's description, its page, and answers for unknown addresses."""
