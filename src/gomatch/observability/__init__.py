"""Logs, metrics and traces. Nothing here is configured by being imported."""
