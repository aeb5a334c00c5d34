"""Files: what they may be instead of what is wanted, JSON read strictly, everything written whole
or not at all.

Formats are known by a file's first bytes, whatever its name, but CSV, which has none; formats.json
says of each what it is and which command makes JSONL of it.

A full disk, a kill or a folder without permission leaves what was there. What grows line by line is
`append_whole`'s, everything else `whole_file`'s. An OSError names the file that was wanted.
"""

import errno
import json
import math
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

BUSY = "another process is writing here; wait for it or end it"
LOCKS: dict[Path, int] = {}  # without fcntl: handles of the .lock files of this process
# first bytes, as Latin-1, or the end of a name -> the format and the command
FORMATS = json.loads(Path(__file__).with_name("formats.json").read_text(encoding="utf-8"))


class InputError(Exception):
    """What a user got wrong, in one line: where, what, the limit, the likely cause."""


def refuse_other(path: Path) -> None:
    """Raise InputError for a file of another format, a Git LFS pointer, ...: what it is, and the
    way out."""
    with open(path, "rb") as file:
        start = file.read(80)
    is_text = start.lstrip()[:1] not in (b"", b"{", b"[")  # and no JSON
    for known, told in FORMATS.items():
        if start.startswith(known.encode("latin-1")) or (is_text and path.suffix == known):
            raise InputError(f"{path}: {with_name(told, path)}")


def with_name(command: str, path: Path) -> str:
    """A command with a file's name for its FILE, as a shell reads it."""
    return command.replace("FILE", shlex.quote(str(path)))


def finite(text: str) -> float | None:
    """A number that a float holds, else None."""
    value = float(text)
    return value if math.isfinite(value) else None


def unique(pairs: list[tuple[str, object]]) -> dict:
    """The object of these; ValueError where a name comes twice."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in record if names.count(name) > 1)
        raise ValueError(f'"{twice}" is there twice')
    return record


STRICT = json.JSONDecoder(
    parse_constant=lambda name: None, parse_float=finite, object_pairs_hook=unique
)


def parsed(text: str, decode: Callable[[str], object] = STRICT.decode) -> object:
    """What a JSON text holds: NaN, infinity and 1e400 are null, so that what is written is JSON.

    Raises ValueError where it is none, spells what is no Unicode, or gives one name two values;
    the first and the last as `decode` sees it.
    """
    try:
        value = decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if "\\u" in text:  # half a surrogate pair is no text
        json.dumps(value, ensure_ascii=False).encode()
    return value


def make_room(path: Path) -> None:
    """Make the folders of a file that will be written; OSError for what can never be one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        said = "lies in a file, where a folder is wanted"
        raise NotADirectoryError(errno.ENOTDIR, said, str(path)) from None
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():  # a pipe, a device
        raise OSError(errno.EINVAL, "not a file", str(path))


def lock(file: FileIO | int | None, path: Path) -> None:
    """Hold an open file or folder until it is closed; OSError where another process does.

    Without fcntl the hold is PATH.lock, which only one process can create, until `unlock`.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:  # Windows itself removes it when its process ends
            how = os.O_CREAT | os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
            LOCKS[path] = os.open(lock_file(path), how)
    except (BlockingIOError, FileExistsError):
        left = "" if fcntl else f" (or remove {lock_file(path).name})"
        raise OSError(errno.EBUSY, BUSY + left, str(path)) from None
    except OSError:
        pass  # a file system without locks


def lock_file(path: Path) -> Path:
    """What holds a path where there is no fcntl: one file under all names of it, "." and links."""
    place = Path(os.path.realpath(path))
    return place.with_name(place.name + ".lock")


def unlock(path: Path) -> None:
    """Let go of a path that `lock` holds by its .lock file."""
    if path in LOCKS:
        os.close(LOCKS.pop(path))
        with suppress(OSError):
            lock_file(path).unlink()


def close(file: FileIO, path: Path, remove: bool) -> None:
    """Close a file that is held, and `remove` it: on Windows behind that, elsewhere before, while
    nobody else can hold it."""
    if not fcntl:
        file.close()
    if remove:
        path.unlink(missing_ok=True)
    file.close()
    unlock(path)


def open_alone(path: Path) -> FileIO:
    """Open a file to read and to append to; OSError where another process has it open so."""
    make_room(path)
    file = open(path, "a+b", buffering=0)  # noqa: SIM115 (as long as it is held)
    lock(file, path)
    # was it closed empty, and so removed, since it was opened here?
    if not os.fstat(file.fileno()).st_nlink:
        raise OSError(errno.EBUSY, BUSY)
    return file


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make a folder, and hold it: a second process that would write there is refused. One in which
    nothing was written goes again."""
    make_room(folder / "log.jsonl")
    handle = os.open(folder, os.O_RDONLY) if fcntl else None  # Windows opens no folders
    try:
        lock(handle, folder)
        try:
            yield
        finally:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
            unlock(folder)
    finally:
        if fcntl:
            os.close(handle)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Gives FILE.part to be written: it takes FILE's place once its bytes are on the disk.

    Where that fails nothing is left of it. What can never be written is refused on entry.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    partial = place.with_name(place.name + ".part")
    try:
        make_room(place)
        with open(partial, "ab") as held:
            lock(held, partial)
            mode = os.fstat(held.fileno()).st_mode
            try:
                yield partial
                with open(partial, "rb+") as file:  # a library may have put another in its place
                    os.fsync(file.fileno())
                partial.chmod(mode)
                if not fcntl:
                    held.close()  # Windows moves no open file
                partial.replace(place)
            except BaseException:
                with suppress(OSError):
                    close(held, partial, remove=True)
                raise
            finally:
                unlock(partial)
    except OSError as error:
        if error.filename in (None, str(partial), str(place)):
            error.filename = str(path)
        raise


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
