"""Random numbers: everything that is drawn follows from (seed, epoch, index)."""
