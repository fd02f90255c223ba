"""The local cloud: PostgreSQL, the AWS emulator and a gateway like API Gateway's, on loopback, by one command."""
