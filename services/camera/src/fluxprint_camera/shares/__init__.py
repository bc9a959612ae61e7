"""Links that show one camera to people without an account. Described in docs/camera-access.md."""
