"""Benchmarks: each prints a ratio to a named rival, measured side by side."""
