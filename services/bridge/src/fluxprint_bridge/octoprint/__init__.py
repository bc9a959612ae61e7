"""OctoPrint as measured with 1.11.8: its REST API, its push socket, and what its answers prove."""
