"""Who watches: snapshots, MJPEG streams and the tokens for them."""
