"""The store of the embedded servers: what follows a commit, and what is told when there is none."""

import asyncio
import sqlite3
import time

import pytest

from kit.lab.common.store import Store

pytestmark = pytest.mark.lab


def run(tmp_path, schema, steps):
    async def main():
        store = Store(tmp_path / "s.sqlite", schema)
        try:
            await steps(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_what_follows_a_commit_also_follows_for_a_caller_who_has_gone(tmp_path):
    seen = []

    def job(n):
        def put(db):
            time.sleep(0.01)
            db.execute("insert into t values (?)", (n,))
            return n

        return put

    async def steps(store):
        waiting = [asyncio.ensure_future(store.write_then(job(n), seen.append)) for n in range(6)]
        await asyncio.sleep(0)
        for gone in waiting[1::2]:
            gone.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results[::2] == [0, 2, 4]
        assert all(isinstance(one, asyncio.CancelledError) for one in results[1::2])
        await store.write(lambda db: None)
        assert seen == [row[0] for row in store.read("select n from t")] == [0, 1, 2, 3, 4, 5]

    run(tmp_path, "create table t (n integer)", steps)


def test_nothing_follows_a_failure(tmp_path):
    seen = []

    def job(db):
        db.execute("insert into t values (1)")
        raise ValueError("no")

    async def steps(store):
        with pytest.raises(ValueError, match="no"):
            await store.write_then(job, seen.append)
        assert seen == [] and store.read("select * from t") == []

    run(tmp_path, "create table t (n integer)", steps)


def test_a_full_disk_is_told_by_its_name(tmp_path):
    async def steps(store):
        await store.write(lambda db: db.execute("pragma max_page_count=10"))
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match="full"):
                await store.write(lambda db: db.execute("insert into t values (zeroblob(1000000))"))
        await store.write(lambda db: db.execute("insert into t values ('small')"))
        assert [row[0] for row in store.read("select data from t")] == ["small"]

    run(tmp_path, "create table t (data blob)", steps)
