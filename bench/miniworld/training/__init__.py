"""Training the miniature world's models; for maintainers, users get the weights."""
