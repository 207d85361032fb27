"""The Market's objects in the cluster: how they are read, compared and written."""
