"""The mails that the service sent, as the emulator stores them: read, and shown on a page."""
