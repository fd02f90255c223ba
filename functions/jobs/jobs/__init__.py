"""Jobs: everything that happens after a request has committed."""
