"""Workloads, one Locust workload a file."""
