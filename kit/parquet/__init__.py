"""Records in Parquet files: written in constant memory, gone on with after a crash, read back lazily.

stream.to_parquet("orders/")         # files, whose names say how far they reach
kit.scan("orders/").read()           # or in SQL, or as Dask partitions
"""
