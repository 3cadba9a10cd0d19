"""One HTML page of everything that has run, with its plots and tables beside it."""
