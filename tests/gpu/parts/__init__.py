"""One part a file: `run(machine)` yields what it found, as it comes."""
