"""Hours of watching in minutes: `make soak`."""
