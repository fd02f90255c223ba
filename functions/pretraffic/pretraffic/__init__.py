"""The function that checks a release's new versions before any client's call reaches them."""
