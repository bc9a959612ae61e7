"""The local camera: its pictures, and the uplink that carries them to the camera service."""
