"""Going on where a run stood: what is saved of it, and whether that fits."""
