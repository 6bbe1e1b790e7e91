"""Reporters, one form of the result a file."""
