"""Pages: the API's description, its page, and answers for addresses that nothing else serves."""
