"""Prints as the other services follow them: read only, and of all organisations."""
