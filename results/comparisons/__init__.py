"""Two arms or two runs side by side: what differs, how they score, and how sure that is."""
