"""Which images are in a batch: their order, their groups, and the share of each process."""
