"""How a FluxPrint service is built. Knows no business rule and no service."""
