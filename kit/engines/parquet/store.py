"""A folder of files, local or on any file system of fsspec. A file appears complete or not at all."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...core.errors import InputError, KitError, SetupError

UNFINISHED = ".unfinished"
"""The suffix of unfinished files; their names also begin with a dot, so that readers of the folder skip them."""


class StoreError(KitError, OSError):
    """A file could not be written or read, for example because the disk is full. Finished files are kept."""


class Store:
    """The files below a path."""

    def __init__(self, path: Any) -> None:
        text = os.fspath(path) if hasattr(path, "__fspath__") else path
        if not isinstance(text, str) or not text:
            raise InputError(f"{path!r} is not a path")
        self.path = text
        self.local = "://" not in text or text.startswith("file://")
        if self.local:
            self.root = os.path.abspath(os.path.expanduser(text.removeprefix("file://")))
            self._fs: Any = None
        else:
            try:
                import fsspec
            except ImportError:
                raise SetupError(
                    f"{text} is reached by fsspec, which is not installed", hint="pip install fsspec"
                ) from None
            try:
                self._fs, self.root = fsspec.core.url_to_fs(text)
            except (ImportError, ValueError) as error:
                raise SetupError(f"{text} cannot be reached: {error}") from None

    @property
    def filesystem(self) -> Any:
        """The same for Arrow."""
        from pyarrow import fs

        return fs.LocalFileSystem() if self.local else fs.PyFileSystem(fs.FSSpecHandler(self._fs))

    def where(self, name: str) -> str:
        """Return the full path of a file."""
        return f"{self.root}/{name}" if name else self.root

    def is_file(self) -> bool:
        return os.path.isfile(self.root) if self.local else bool(self._fs.isfile(self.root))

    def exists(self) -> bool:
        """Return whether there is a file or folder of this very name."""
        return os.path.exists(self.root) if self.local else bool(self._fs.exists(self.root))

    def matching(self) -> list[str]:
        """Return the files that the path stands for as a pattern, in order."""
        return sorted(glob.glob(self.root, recursive=True) if self.local else self._fs.glob(self.root))

    def names(self) -> list[str]:
        """Return all files below, by their paths from here, in order."""
        paths = []
        if self.local:
            for folder, _, files in os.walk(self.root):
                beside = os.path.relpath(folder, self.root).replace(os.sep, "/")
                paths += [name if beside == "." else f"{beside}/{name}" for name in files]
        elif self._fs.exists(self.root):
            self._fs.invalidate_cache()
            cut = len(self.root.rstrip("/")) + 1
            paths = [name[cut:] for name in self._fs.find(self.root)]
        return sorted(paths)

    def read(self, name: str) -> bytes | None:
        """Return the contents of a file; None if it does not exist."""
        try:
            with self._open(self.where(name), "rb") as file:
                data: bytes = file.read()
                return data
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextmanager
    def writing(self, name: str, final: Callable[[], str] | None = None) -> Iterator[Any]:
        """Open a file for writing; it gets its name when the block ends well and is removed when not.

        `final` tells the name then, in the same folder, where it is not known before.
        """
        folder, _, base = name.rpartition("/")
        draft = self.where(f"{folder + '/' if folder else ''}.{base}{UNFINISHED}")
        try:
            self._folder(self.where(folder))
            file = self._open(draft, "wb")
            try:
                yield file
                if self.local:
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                file.close()
            self._rename(draft, self.where(final() if final is not None else name))
        except BaseException as error:
            self._remove(draft)
            if isinstance(error, OSError) and not isinstance(error, KitError):
                raise StoreError(
                    f"{self.where(name)} could not be written: {error.strerror or error}",
                    hint="finished files are kept; the same call continues after them",
                    resource=self.path,
                ) from None
            raise

    def remove(self, name: str) -> None:
        """Remove a file that may be there."""
        self._remove(self.where(name))

    def _open(self, path: str, mode: str) -> Any:
        return open(path, mode) if self.local else self._fs.open(path, mode)

    def _folder(self, path: str) -> None:
        if self.local:
            os.makedirs(path, exist_ok=True)
        else:
            self._fs.makedirs(path, exist_ok=True)

    def _rename(self, draft: str, path: str) -> None:
        if not self.local:
            self._fs.mv(draft, path)
            return
        os.replace(draft, path)
        # The name has to be on the disk too before anything relies on it.
        folder = os.open(os.path.dirname(path), os.O_RDONLY) if os.name == "posix" else None
        if folder is not None:
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _remove(self, path: str) -> None:
        try:
            if self.local:
                os.unlink(path)
            elif self._fs.exists(path):
                self._fs.rm_file(path)
        except OSError:
            pass
