"""The uplink: a bridge's WebSocket for all of its cameras. Described in docs/camera-uplink.md."""
