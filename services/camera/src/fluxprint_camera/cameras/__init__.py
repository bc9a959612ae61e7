"""The cameras that an organisation has."""
