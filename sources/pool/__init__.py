"""What a pool is, and which of its rows name a class."""
