"""The DuckDB file that is rebuilt from the records; the one room that speaks SQL."""
