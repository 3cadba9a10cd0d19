"""What is kept on disk: stages, tar shards, image sets, run and study folders, locks."""
