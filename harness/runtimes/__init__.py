"""Runtimes: where nodes live."""
