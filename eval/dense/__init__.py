"""Features of patches: linear heads that segment images, and their principal components."""
