"""Chaos: real services, servers, printers and links that break at random, and OctoPrint's own log as the judge."""
