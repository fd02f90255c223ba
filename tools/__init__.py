"""Programs that build what ships or describe it, and generators of the reference pages; none of them ships."""
