"""What people look at: the report as a page, as a comment, as data, and beside another one."""
