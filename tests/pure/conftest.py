"""What several of these files need."""

import queue

import pytest

import kit


class Given:
    """A feed of what the test puts into it."""

    def __init__(self, **options):
        self._queue = queue.Queue()
        self.feed = kit.Feed(iter(self._queue.get, None), **options)

    def put(self, *rows):
        self._queue.put(list(rows))

    def end(self):
        self._queue.put(None)


@pytest.fixture
def given():
    made = []

    def make(**options):
        made.append(Given(**options))
        return made[-1]

    yield make
    for one in made:
        one.end()
        one.feed.close()
