"""Timelapses of prints, and pictures of their starts, ends and failures."""
