"""Results: records to database, tables, plots and report; works without torch."""
