"""The queue service as docs/protocol.md describes it: calls, the link, and telemetry on its way up."""
