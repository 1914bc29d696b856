"""The embedded server of one service in a process of its own, with a token and ports that outlive it."""

import asyncio
import json
import sys

from kit.lab import parent
from kit.lab.process import Process


async def main() -> None:
    orders = json.loads(sys.stdin.readline())
    parent.watch(orders["parent"])
    process = Process(orders)
    process.token = orders["token"]
    try:
        print(json.dumps(await process.start()), flush=True)
        await process.ended.wait()
    finally:
        await process.stop()


if __name__ == "__main__":
    asyncio.run(main())
