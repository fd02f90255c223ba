"""Members: registration, contact data and memberships."""
