"""The function that makes the owner of the schema in a database which the stack has created."""
