"""Writes a stream to Parquet until it is done or killed: `parquetchild BASIN STREAM PATH`."""

import sys

import kit
from kit.engines.parquet import writing

if __name__ == "__main__":
    basin, stream, path = sys.argv[1:]
    writing.GROUP_BYTES = 64 * 1024
    writing._Files.most = 256 * 1024
    print("ready", flush=True)
    kit.connect("s2")[basin][stream].to_parquet(path)
    print("done", flush=True)
