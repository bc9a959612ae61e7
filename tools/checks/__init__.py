"""What `make lint` checks beside style, types and imports; one file a check, each a program of its own."""
