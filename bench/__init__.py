"""Measurements that print tables: how exactly time is counted, and what it costs to read it. No tests, no limits."""
