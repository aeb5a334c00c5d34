"""The records that flow between the scripts, and the append-only store that keeps them.

profile -> session -> pair -> (adapter) -> session -> rating: one JSON object a line (JSONL, UTF-8).
Every script reads one kind and appends another, so each can be killed and started again.
"""

import hashlib
import json
import os
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from types import UnionType

from act.files import InputError, append_whole, close, open_alone, parsed, refuse_other, with_name

TURN_STATUSES = ("ok", "length", "format", "context", "refused", "error")
WITH_WORDS = ("ok", "length")  # statuses of a turn with an answer, behind which a session goes on
CONDITIONS = ("instruct", "instruct-cot", "sft", "sft-cot", "orpo", "orpo-cot")


def is_trained(condition: str) -> bool:
    """Has a condition's therapist learned anything, or is it the base model?"""
    return not condition.startswith("instruct")


def read_json(path: Path) -> dict:
    """The object of a JSON file. Raises InputError for a file that is not there or holds none."""
    try:
        refuse_other(path)
        # other programs' files, too: as lenient as they are
        content = parsed(path.read_text(encoding="utf-8-sig"), json.loads)
    except FileNotFoundError:
        cause = f"; is {path.parent} a folder in Hugging Face layout?"
        cause = cause if path.name == "config.json" else ""
        raise InputError(f"{path}: no such file{cause}") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object")
    return content


def read_check(path: str | Path) -> dict:
    """What `judge.py check` wrote. Raises InputError for a file of another shape."""
    check = read_json(Path(path))
    fields = {"judge": str, "settings": dict, "verdict": dict, "items": list}
    try:
        require({"settings": {}} | check, fields)
        require(check["verdict"], {"line": str})
        for item in check["items"]:
            require(item, {"item": str, "pairs": int, "auc": float | int | None, "ci": list | None})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file that `judge.py check` wrote: {error}") from None
    return check


def read_placed(path: str | Path, arrays: bool = False) -> Iterator[tuple[str, dict]]:
    """Yield ("file:line", record) of a JSONL file: whoever refuses a record can say where it is.

    With `arrays` also ("file: row 3", record) of a file that is one JSON array. A torn last line
    (no newline, not JSON) is left out with a warning. Raises InputError for a line that is not one
    JSON object, and for a file of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    refuse_other(path)
    with open(path, "rb") as file:
        is_array = file.peek(80).removeprefix(BOM_UTF8).lstrip().startswith(b"[")
        for place, record in read_array(path, arrays) if is_array else read_lines(path, file):
            if not isinstance(record, dict):
                raise InputError(f"{place}: not a JSON object")
            yield place, record


def read_lines(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, object]]:
    """Yield ("file:line", value) of each line that is not blank."""
    for number, line in enumerate(lines, 1):
        place = f"{path}:{number}"
        if is_torn(line):
            print(f"warning: {place}: torn last line left out", file=sys.stderr)
        elif line.strip():
            try:
                yield place, parsed(line.decode("utf-8-sig"))
            except json.JSONDecodeError as error:
                said = str(error)
                if error.pos >= len(error.doc.rstrip()):
                    cure = with_name("to JSONL: jq -c . FILE > FILE.jsonl", path)
                    said = f"the object does not end on its line; {cure}"
                raise InputError(f"{place}: {said}") from None
            except ValueError as error:
                raise InputError(f"{place}: {error}") from None


def read_array(path: Path, wanted: bool) -> Iterator[tuple[str, object]]:
    """Yield ("file: row 3", value) of a file that is one JSON array, where that is `wanted`."""
    if not wanted:
        cure = with_name("to JSONL: jq -c '.[]' FILE > FILE.jsonl", path)
        raise InputError(f"{path}: begins as a JSON array; an object a line is read; {cure}")
    try:
        values = parsed(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path}: begins as a JSON array, but: {error}") from None
    for number, value in enumerate(values, 1):
        yield f"{path}: row {number}", value


def read_jsonl(
    path: str | Path, check: Callable[[dict], None] = lambda record: None
) -> Iterator[dict]:
    """Yield the records of a JSONL file, read as `read_placed` does.

    `check` raises ValueError for a record that is not of the expected type: an InputError here.
    """
    for place, record in read_placed(path):
        try:
            check(record)
        except ValueError as error:
            raise InputError(f"{place}: {error}") from None
        yield record


def once(check: Callable[[dict], None], *names: str) -> Callable[[dict], None]:
    """`check` that also refuses a record whose fields of these names it was given before."""
    seen = set()

    def check_new(record: dict) -> None:
        check(record)
        key = tuple(record[name] for name in names)
        if key in seen:
            raise ValueError(f"a second record with {', '.join(names)} {', '.join(map(str, key))}")
        seen.add(key)

    return check_new


def read_unique(path: str | Path, check: Callable[[dict], None], *names: str) -> list[dict]:
    """All records of a file that must hold some, each with an "id", or other fields, of its own."""
    records = list(read_jsonl(path, once(check, *(names or ("id",)))))
    if not records:
        raise InputError(f"{path}: no records")
    return records


def is_torn(line: bytes) -> bool:
    """Was a record cut off while it was written? It has begun, and has no newline and no end."""
    if line.endswith(b"\n") or not line.startswith(b"{"):
        return False
    try:
        json.loads(line)
    except RecursionError:  # nested too deep, which is no cut
        return False
    except ValueError:  # of JSON, of UTF-8
        return True
    return False


class Store(AbstractContextManager):
    """An append-only JSONL file, one record a key: a death loses nothing that was appended.

    On opening, a torn last line is cut off. One process at a time may hold a store: a second one
    gets an InputError. A store that ends empty leaves no file. `check` raises ValueError for a
    record that is not of the store's kind, and `key` maps a record to its id.

        with Store("sessions.jsonl", check_session) as store:
            if "sft/p01" not in store:
                store.append(session)
    """

    def __init__(
        self,
        path: str | Path,
        check: Callable[[dict], None],
        key: Callable[[dict], object] = itemgetter("id"),
    ):
        self.path, self.check, self.key = Path(path), check, key
        try:
            self.file = open_alone(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from None
        # in the file's order; the records themselves stay in the file
        self.keys: dict[object, None] = {}
        for record in read_jsonl(self.path, self._check):
            self.keys[key(record)] = None
        # a torn last line is cut off, a whole one gets its newline
        self.file.seek(0)
        tail = self.file.read().rpartition(b"\n")[2]
        if is_torn(tail):
            self.file.truncate(self.file.tell() - len(tail))
        elif tail:
            append_whole(self.file, b"\n", sync=False)

    def records(self) -> Iterator[dict]:
        """What the file holds now, read again: a long run keeps none of it in memory."""
        return read_jsonl(self.path)

    def _check(self, record: dict) -> None:
        self.check(record)
        if self.key(record) in self.keys:
            raise ValueError(f"a second record with id {self.key(record)!r}")

    def __contains__(self, key: object) -> bool:
        return key in self.keys

    def __len__(self) -> int:
        return len(self.keys)

    def append(self, record: dict) -> None:
        """Write one record, synced. Raises ValueError where it is refused or its key is there."""
        self._check(record)
        # one line, on the disk before the next is begun
        append_whole(self.file, json.dumps(record, ensure_ascii=False).encode() + b"\n", sync=True)
        self.keys[self.key(record)] = None

    def close(self) -> None:
        """Let the file go, and remove it where it is empty."""
        close(self.file, self.path, remove=not os.fstat(self.file.fileno()).st_size)

    def __exit__(self, *_: object) -> None:
        self.close()


def counted(n: int, noun: str) -> str:
    """counted(1, "session") == "1 session", counted(2, "session") == "2 sessions"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def digest(words: Sequence[str]) -> str:
    """Twelve letters that stand for these texts in this order."""
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:12]


def require(record: dict, types: dict[str, type | UnionType]) -> None:
    """Raise ValueError unless every named field is there and of the type; true is no int."""
    for name, kind in types.items():
        if name not in record:
            raise ValueError(f'"{name}" is missing')
        value = record[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = getattr(kind, "__name__", kind)
            raise ValueError(f'"{name}" is {type(value).__name__}, not {wanted}')


def check_settings(what: object, held: Mapping, new: Mapping, cure: str = "") -> None:
    """Were these records made with other settings? `what` names them, `new` is what holds now.

    Raises InputError with the first setting that differs; `cure` says what to do about it.
    """
    for name in {**held, **new}:
        there, here = held.get(name, "unknown"), new.get(name, "unknown")
        if there != here:
            raise InputError(f"{what} was made with {name} {there}, not {here}{cure}")


def check_profile(record: dict) -> None:
    """A profile: {"id", "archetype", ...plain fields}."""
    require(record, {"id": str, "archetype": str})


def check_session(record: dict) -> None:
    """A session: {"id": "<condition>/<profile>", "condition", "profile", "turns", "status", ...}.

    "models", "adapters", "sampling" and "seed" are journal.made_with's; a replayed client's session
    has in "client_words" the fingerprint of all its recorded lines. Each turn has "client",
    "thinking", "answer" (None where it failed) and "status". session.py also writes:

        "prompt_tokens", "response_tokens"  of the therapist's reply; None where there was none
        "note"          the hidden note that the client got, or None
        "drafts"        what the supervisor sent back, [{"speaker", "text", "feedback"}], and how a
                        failed "revision" ended
        "unsupervised"  speakers whose draft stood because the verdict could not be read
        "client_cut"    true where the client's words were cut at the token limit
        "out_of_form"   how many of the therapist's replies broke the CoT form
        "calls"         an endpoint's account of each call, [{"role", ...}]

    "served" is by role what an endpoint was found to take otherwise than "sampling" wants it:
    {"therapist": {}, "client": {"seed": "none"}}.
    """
    require(record, {"id": str, "condition": str, "profile": dict, "turns": list, "status": str})
    check_profile(record["profile"])
    for number, turn in enumerate(record["turns"], 1):
        if not isinstance(turn, dict):
            raise ValueError(f"turn {number} is not an object")
        require(turn, {"client": str, "thinking": str | None, "answer": str | None, "status": str})
        require({"out_of_form": 0} | turn, {"out_of_form": int})
        has_words, said = turn["status"] in WITH_WORDS, f'turn {number} is "{turn["status"]}"'
        if number < len(record["turns"]) and not has_words:
            raise ValueError(f"{said}, and only the last turn of a session can have failed")
        if turn["status"] not in TURN_STATUSES:
            known = ", ".join(TURN_STATUSES)
            raise ValueError(f'turn {number}: status "{turn["status"]}" is none of {known}')
        if has_words and not turn["answer"]:
            raise ValueError(f"{said} but has no answer")
        if not has_words and turn["answer"] is not None:
            raise ValueError(f"{said} but has an answer: error text is no answer")


def check_pair(record: dict) -> None:
    """A pair as generate.py writes it, with an "id" and where one was cut off at the token limit
    "cut": ["rejected"] (training reads more: training/layouts.py)."""
    require(record, {"id": str, "prompt": list, "chosen": list, "rejected": list})


RATING_KEY = ("session", "rater", "replicate")  # of these there is one rating
FORMS = {
    "act_fm": (25, 0, 3),
    "tes": (9, 1, 7),
}  # field -> items, lowest, highest; act/forms.FORMS has texts


rating_key = itemgetter(*RATING_KEY)


def check_rating(record: dict) -> None:
    """{"session", "condition", "profile", "rater", "replicate", "act_fm", "tes", "status", ...}."""
    text = ("session", "condition", "profile", "rater", "status")
    require(record, {name: str for name in text} | {"replicate": int})
    if record["status"] != "ok":
        if record.get("act_fm") is not None or record.get("tes") is not None:
            raise ValueError(f'status is "{record["status"]}", so "act_fm" and "tes" must be null')
        return
    for form, (size, low, high) in FORMS.items():
        require(record, {form: list})
        for name, kinds in ((form, [int]), (f"{form}_expected", [int, float])):
            values = record.get(name, record[form])
            if not isinstance(values, list) or len(values) != size:
                raise ValueError(f'"{name}" must be a list of {size} numbers')
            for item, value in enumerate(values, 1):
                if type(value) not in kinds or not low <= value <= high:
                    raise ValueError(f'"{name}" item {item} is {value!r}, outside {low}..{high}')
