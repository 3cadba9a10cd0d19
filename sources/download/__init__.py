"""From addresses to tars: images are fetched, checked and counted."""
