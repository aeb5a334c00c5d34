"""What a file that should be JSONL may be instead, and how its text is read.

Formats are known by a file's first bytes, whatever its name, but CSV, which has none; formats.json
says of each what it is and which command makes JSONL of it.
"""

import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path

# first bytes, as Latin-1, or the end of a name -> the format and the command
FORMATS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # of UTF-8, as some editors write it


def other_format(path: Path, start: bytes) -> str | None:
    """What a file that begins like this is, and the way out; None of one that may be JSON."""
    is_text = start.lstrip()[:1] not in (b"", b"{", b"[")  # and no JSON
    for known, told in FORMATS.items():
        if start.startswith(known.encode("latin-1")) or (is_text and path.suffix == known):
            return with_name(told, path)
    return None


def with_name(command: str, path: Path) -> str:
    """A command with a file's name for its FILE, as a shell reads it."""
    return command.replace("FILE", shlex.quote(str(path)))


def begins_array(start: bytes) -> bool:
    """Is the first character of a file a bracket?"""
    return start.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"[")


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
