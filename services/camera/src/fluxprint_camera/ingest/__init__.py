"""The uplink: a bridge's WebSocket, one a camera. Described in docs/camera.md."""
