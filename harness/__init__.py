"""The instrument for failover."""
