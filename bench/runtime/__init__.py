"""The running process: signals, threads, ranks, and the versions of its code."""
