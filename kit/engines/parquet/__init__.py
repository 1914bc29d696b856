"""Records in Parquet files: written in constant memory, resumable after a crash, read back lazily.

stream.to_parquet("orders/")         # files whose names say which positions they hold
kit.scan("orders/").read()           # or in SQL, or as Dask partitions
"""
