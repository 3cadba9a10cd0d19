"""The harness: specs, plug-ins, the run and the command line; imports nothing heavy."""
