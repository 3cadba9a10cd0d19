"""Search an index for the images nearest to a text in CLIP's space."""
