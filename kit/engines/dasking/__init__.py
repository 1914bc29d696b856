"""Streams and Parquet scans as frames of Dask, and frames of Dask back into streams.

    frame = stream.to_dask()                                  # partitions are ranges of positions
    kit.from_frame(frame).append_to(other_stream)

With a `distributed.Client` the partitions are read and written by its workers, each over its own connection.
"""
