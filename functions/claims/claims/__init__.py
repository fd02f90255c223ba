"""Claims: submitted by members with documents, handled by staff until they are resolved."""
