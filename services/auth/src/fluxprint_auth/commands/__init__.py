"""What an operator does on the command line: `python -m fluxprint_auth COMMAND`."""
