"""The worker's side of the process executor. Never imports `consumer`."""
