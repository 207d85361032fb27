"""The books' mirrors in Redis: looked at, and deleted with their Market. Only a leader writes
them, so one that is missing or behind is asked for."""
