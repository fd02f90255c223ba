"""Mutation testing of the code that ships: mutmut changes it in one place after another, and a test should notice."""
