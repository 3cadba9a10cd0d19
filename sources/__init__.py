"""Sources of adaptation images; a file here is a value of ``--source``."""
