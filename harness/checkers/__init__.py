"""Checkers, one judge a file; pure functions of the history."""
