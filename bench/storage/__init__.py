"""What lies on disk: stages, tar shards, image sets, run and study folders."""
