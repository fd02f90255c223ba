"""The generated parts of the clients, made from the API's description by two generators."""
