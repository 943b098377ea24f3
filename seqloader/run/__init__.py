"""A run: epoch after epoch, from the first batch to the last, in order."""
