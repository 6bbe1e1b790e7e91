"""Planned changes, one a file: `change: switchover` is the class `Switchover` in `switchover.py`."""
