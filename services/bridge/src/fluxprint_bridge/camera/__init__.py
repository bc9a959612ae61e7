"""The local cameras: their pictures, and the uplink that carries them to the camera service."""
