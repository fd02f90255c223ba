"""Events of every route and trigger as JSON files, for `sam local invoke`."""
