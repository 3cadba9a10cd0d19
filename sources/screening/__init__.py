"""Images are embedded, scored, filtered and de-duplicated, and all that is counted."""
