"""The matcher: one process that leads one market, or waits to."""
