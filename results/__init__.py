"""Results: records to database, tables, figures and report; works without torch."""
