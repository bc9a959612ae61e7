"""Watching for trouble: pictures that stand still, are black or do not come, and what a detector makes of them."""
