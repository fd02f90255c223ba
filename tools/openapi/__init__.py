"""The API's description (OpenAPI 3.1), built from the operations of all functions."""
