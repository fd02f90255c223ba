"""The report in its forms: a page, a comment, data, and a comparison of two."""
