"""Image sets leave the harness: as webdataset tars, as class folders, as Parquet files."""
