"""What people would use instead: each registers a member, takes a claim, reads a record and answers for its health.

Each is written as its own documentation does it. tests/bench holds their answers to those of the service.
"""
