"""Frames on their way through this process: one newest frame a camera, one slot a viewer."""
