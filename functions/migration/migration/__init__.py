"""The function that migrates the database's schema when a release is deployed."""
