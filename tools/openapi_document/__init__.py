"""The OpenAPI document of the whole API: merged from the services, checked, and written to `openapi/openapi.json`."""
