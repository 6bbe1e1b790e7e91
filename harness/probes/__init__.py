"""Open-loop probes and role observers, which run in client nodes."""
