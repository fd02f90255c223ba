"""Programs that build what ships or describe it; none of them ships."""
