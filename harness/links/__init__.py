"""Links: a client's path, and packets between nodes."""
