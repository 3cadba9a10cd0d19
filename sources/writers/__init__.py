"""Caption writers; a file here is a value of ``source.captions.writer``."""
