"""One process among others: its signals, threads, ranks, and where its code is from."""
