"""What prints, as the queue service tells it."""
