"""Several processes of this service as one: who has which camera, and its frames where somebody watches elsewhere."""
