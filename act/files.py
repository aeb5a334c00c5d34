"""Files that are written whole or not at all: a full disk, a kill or a folder without permission
leaves what was there.

What grows line by line is `append_whole`'s, everything else `whole_file`'s. An OSError names the
file that was wanted.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Gives FILE.part to be written: it takes FILE's place once its bytes are on the disk.

    Where that fails nothing is left of it. What can never be written is refused on entry.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    partial = place.with_name(place.name + ".part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not place.is_file():
            raise OSError(errno.EINVAL, "not a file", str(path))  # a folder, a device
        partial.touch()
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        partial.replace(place)
    except OSError as error:
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            partial.unlink()


def write_text(text: str, path: str | Path) -> None:
    """Write a text file, UTF-8."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_json(record: object, path: str | Path) -> None:
    """Write a JSON file, indented."""
    write_text(json.dumps(record, indent=2) + "\n", path)


def append_whole(file: FileIO, line: bytes, sync: bool) -> None:
    """Append to an unbuffered file; with `sync` return once the line is on the disk."""
    size = os.fstat(file.fileno()).st_size
    try:
        left = memoryview(line)
        while left:
            left = left[file.write(left) :]
        if sync:
            os.fsync(file.fileno())
    except OSError as error:
        file.truncate(size)
        error.filename = str(file.name)
        raise
