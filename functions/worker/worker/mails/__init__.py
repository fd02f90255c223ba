"""The mails' words, one file per language, and the two layouts they are poured into."""
