"""Members: registration, contact data and the membership's life."""
