"""The worker beside the printer: pulls jobs from the cloud, drives OctoPrint, sends pictures."""

__version__ = "0.1.0"
