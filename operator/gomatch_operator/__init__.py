"""The operator: it makes every Market a trading pair and keeps it one."""
