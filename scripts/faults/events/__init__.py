"""Rows on events for other systems: nothing is lost of what was answered, and each event comes in its turn."""
