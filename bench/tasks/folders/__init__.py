"""A user's folder of images: what its layout, its tables and its missing splits mean."""
