"""The HTTP API behind API Gateway: parsing, execution, answers and problem details."""
