"""One story, told through all operations: the examples of the API's description.

Arta becomes an agent and brings Besa in; Besa's flight is cancelled, and staff see her claim through. Each operation
has its example here, by its operation id; `make lint` fails for one that has none.
"""
