"""Train the miniature world's models; users get the weights."""
