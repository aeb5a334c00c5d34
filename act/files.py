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
from glob import escape
from io import FileIO
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Gives FILE.part-PID to be written: it takes FILE's place once its bytes are on the disk.

    Where that fails nothing is left of it. A folder is refused on entry; a device or a pipe has no
    place to take and is given itself.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    # of this process alone: another may be writing the same file
    partial = place.with_name(f"{place.name}.part-{os.getpid()}")
    try:
        if os.path.isdir(path):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if os.path.exists(path) and not os.path.isfile(path):
            yield Path(path)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(place)
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


def remove_left_over(place: Path) -> None:
    """Remove the parts of a file whose processes were killed."""
    for part in place.parent.glob(f"{escape(place.name)}.part-*"):
        try:
            os.kill(int(part.name.rpartition("-")[2]), 0)  # signal 0: is there such a process?
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except (PermissionError, ValueError, OverflowError):
            pass  # another user's process; a file of that name that is not ours


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
