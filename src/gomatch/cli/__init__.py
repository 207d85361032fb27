"""The command line: `gomatch`."""
