"""What the scripts share: a parser whose --help is a manual, and one line for each user error.

torch is imported only where a device is asked for: a script without a model starts at once.
"""

import argparse
import errno
import json
import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from itertools import groupby
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import NoReturn, TextIO

from act.records import CONDITIONS, InputError


class Manual(argparse.ArgumentDefaultsHelpFormatter):
    """--help wraps the docstring to the terminal, but for lines that are indented, and shows each
    default that is one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        shown = []
        for stands, group in groupby(text.splitlines(), lambda line: line[:1] in ("", " ")):
            lines = list(group)
            shown += lines if stands else [textwrap.fill(" ".join(lines), width)]
        return "\n".join(shown)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with the script's docstring as manual; a wrong flag is an InputError."""

    def __init__(self, **options):
        super().__init__(formatter_class=Manual, allow_abbrev=False, **options)

    def add_device_flags(self) -> None:
        """The flags of models of this process: their template, and what `set_up_device` reads."""
        import torch

        add, device = self.add_argument, "cuda" if torch.cuda.is_available() else "cpu"
        add("--device", default=device, help="torch device")
        about = "float32 products: F.linear's to the bit (highest; the default of a GPU), "
        about += "or faster (high; that of a CPU): oneDNN on a CPU, TF32 on a GPU"
        add("--precision", choices=("high", "highest"), help=about)
        about = "chat template of model folders: smollm2, chatml, llama3, llama3.1 or mistral; if "
        about += "not given, the folder's own where it is one of these, else by its vocabulary"
        add("--template", metavar="NAME", help=about)

    def add_endpoint_flags(self) -> None:
        """The flags of models behind an endpoint (NAME@URL)."""
        add, about = self.add_argument, "calls to an endpoint under way at a time"
        add("--concurrency", type=positive, default=16, help=about)
        add("--timeout", type=positive, default=300, help="seconds an endpoint has for a reply")
        about = (
            "tokens an endpoint may spend before its answer (OpenAI's that think: 2048 at least)"
        )
        add("--room-to-think", type=whole, default=0, help=about)
        about = "JSON object: what else an endpoint's requests hold, null to leave a field out; it "
        about += "is stored in the records"
        add("--fields", type=json_object, default=None, metavar="JSON", help=about)

    def add_talk_flags(self, max_new_tokens: int, batch: int) -> None:
        """The flags of scripts in which therapists speak, in many conversations at a time."""
        add, ways = self.add_argument, ("observe", "enforce")
        about = "CoT form: left to the model and its failures counted, or enforced in decoding"
        add("--format", choices=ways, default="observe", help=about)
        longest = "longest therapist reply, tokens"
        add("--max-new-tokens", type=positive, default=max_new_tokens, help=longest)
        about = "conversations held side by side; below --concurrency it caps that"
        add("--batch", type=positive, default=batch, help=about)
        add("--seed", type=int, default=0, help="seed of all random streams and hidden notes")
        self.add_endpoint_flags()
        self.add_device_flags()

    def error(self, message: str):
        """Raises InputError, for `run_script` to say; argparse would print its usage, too."""
        raise InputError(f"{message} (see {self.prog} --help)")


def number(kind: type, low: float, high: float, said: str) -> Callable[[str], float]:
    """The type of a flag that is a number of this kind, from `low` to `high`."""

    def read(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not {said}")
        return value

    read.__name__ = kind.__name__  # as argparse names it where the text is no number
    return read


CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # but tab, line feed, return
LONGEST = 2000  # letters of what is said of an error
LARGEST = sys.float_info.max
positive = number(int, 1, LARGEST, "1 or more")
whole = number(int, 0, LARGEST, "0 or more")
bits = number(int, -(2**63), 2**63 - 1, "a whole number of 64 bits")  # torch's seeds
not_negative = number(float, 0, LARGEST, "0 or more")
rate = number(float, 0, 1e30, "between 0 and 1e30")  # beyond it a step is no float32
share = number(float, 0, 1, "between 0 and 1")


def json_object(text: str) -> dict:
    """The type of a flag that is a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text} is not a JSON object, as {{"top_k": 40}}')
    return value


def conditions(text: str) -> list[str]:
    """A comma-separated choice of the six conditions."""
    for name in text.split(","):
        if name not in CONDITIONS:
            known = ", ".join(CONDITIONS)
            raise argparse.ArgumentTypeError(f'"{name}" is none of the conditions {known}')
    return text.split(",")


def set_up_device(args: argparse.Namespace) -> str:
    """Check --device and switch --precision on, which follows from the device where not given.

    Returns this process's device: each of torchrun's has a GPU of its own, and touches no other.
    """
    import torch

    gpu, device = args.device.startswith("cuda"), args.device
    if gpu and "LOCAL_RANK" in os.environ:  # torchrun's
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises either, by build
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}") from None
    args.precision = args.precision or ("highest" if gpu else "high")
    torch.set_float32_matmul_precision(args.precision)
    if gpu:  # cuDNN's attention plans anew for each shape, and decoding has a new one each token
        torch.backends.cuda.enable_cudnn_sdp(False)
    return device


@contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether Ctrl-C or SIGTERM has come, so that work can be saved;
    Ctrl-C again stops at once."""
    asked: list[int] = []  # signals

    def ask(number: int, frame: object) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not asked and speaks():  # print may be under way, so not by print
            os.write(2, b"stopping after this step; Ctrl-C again stops at once\n")
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Plain:
    """A stream whose text cannot steer a terminal: words of models and files are printed, too."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, U+FFFD for each control character."""
        return self.stream.write(CONTROL.sub("\ufffd", text))

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def run_script(main: Callable[[], None], again: str = "the same command goes on from here") -> None:
    """Run `main`; an InputError is one line on stderr and status 2. Ctrl-C says `again`."""
    with redirect_stdout(Plain(sys.stdout)), redirect_stderr(Plain(sys.stderr)):
        try:
            main()
            sys.stdout.flush()
        except InputError as error:
            stop(f"error: {error}", 2, error)
        except BrokenPipeError:  # the reader of our output (`| head`) has gone: no error of ours
            let_go(sys.stdout)
            sys.exit(1)
        except OSError as error:  # a folder where a file should be, a full disk, no permission
            # without a name it is what we print that cannot be written
            stop(f"error: {error.filename or 'the output'}: {error.strerror or error}", 2, error)
        except (MemoryError, RuntimeError) as error:  # of Python, numpy, torch
            said = str(error).partition("\n")[0]
            if not isinstance(error, MemoryError) and "allocate" not in said:
                raise
            stop(f"error: not enough memory: {said}", 2, error)
        except KeyboardInterrupt as error:
            stop(f"stopped; {again}", 130, error)


def stop_unfinished(left: int, wanted: int, what: str) -> None:
    """Leave with status 1 where a server's faults have left some of `what` undone."""
    if left:
        line = f"{left} of {wanted} {what} not finished; the same command goes on"
        print(line, file=sys.stderr)
        sys.exit(1)


def stop(line: str, status: int, error: BaseException) -> NoReturn:
    """Leave with one line on stderr. Of torchrun's processes the first says it, the others tell
    torchrun's report.

    A line that is too long loses its middle: a value of a file may be of any length, and the way
    out stands at the end.
    """
    line, half = " ".join(line.splitlines()), LONGEST // 2
    if len(line) > LONGEST:
        line = f"{line[:half]} [...] {line[-half:]}"
    if not speaks():
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)
        sys.exit(status)
    for stream, said in ((sys.stdout, ""), (sys.stderr, f"{line}\n")):
        try:
            stream.write(said)
            stream.flush()
        except OSError:  # on a full disk, too
            let_go(stream)
    sys.exit(status)


def beside(work: Callable, *given: object) -> Callable[[], object]:
    """Have work(*given) done by a second process, from now on: call what comes back for its result.

    The process ends with its work, whatever has become of this one.
    """
    ours, theirs = Pipe(duplex=False)
    Process(target=_send, args=(ours, theirs, work, given), daemon=True).start()
    theirs.close()

    def result() -> object:
        try:
            return ours.recv()
        except EOFError:
            said = "ended before its work; is there too little memory?"
            raise ChildProcessError(errno.ECHILD, said, "the second process") from None

    return result


def _send(ours: Connection, theirs: Connection, work: Callable, given: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer
    ours.close()  # or nobody would notice that the first has gone
    theirs.send(work(*given))


@cache
def warn(line: str) -> None:
    """Say a warning on stderr, once a process."""
    if speaks():
        print(f"warning: {line}", file=sys.stderr)


def let_go(stream: TextIO) -> None:
    """What a stream still holds goes nowhere, or Python would fail on its way out once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def speaks() -> bool:
    """Whether this is the only process, or the first of torchrun's."""
    return "TORCHELASTIC_ERROR_FILE" not in os.environ or os.environ["RANK"] == "0"
