"""The mail that the service sent, as the emulator keeps it: read, and shown on a page."""
