"""Topologies, one system a file."""
