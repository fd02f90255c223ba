"""Jobs that did not end well, for admins."""
