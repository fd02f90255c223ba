"""The local cloud: PostgreSQL, the AWS emulator and a front like API Gateway, on loopback and from one command."""
