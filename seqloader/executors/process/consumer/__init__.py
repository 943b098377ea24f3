"""The consumer's side of the process executor. Never imports `worker`."""
