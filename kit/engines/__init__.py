"""SQL over handles and frames, Parquet, Dask."""
