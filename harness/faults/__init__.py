"""Faults, one a file: `inject: crash` is the class `Crash` in `crash.py`."""
