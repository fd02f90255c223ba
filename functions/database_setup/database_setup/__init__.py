"""The function that creates the schema's owner in a database that the stack has created."""
