"""Measures the whole real system against what it is built on: docs/benchmarks.md."""
