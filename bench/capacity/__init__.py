"""How much load the service bears: calls a second and latency by the number of users, and beside an earlier commit."""
