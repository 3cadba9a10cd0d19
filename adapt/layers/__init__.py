"""Layers that an objective puts on a tower: projection heads, batch norm over all processes."""
