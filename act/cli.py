"""What the five scripts share: a parser whose --help reads as a manual, and one line for each user
error.

generate.py, train.py, simulate.py, judge.py and analyze.py (and act/model/embedded.py, which can be
run by itself) build a `Parser` and hand their `main` to `run_script`. torch is imported only where
a device is asked for.
"""

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from act.records import CONDITIONS, InputError


class Manual(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """--help keeps the docstring's lines and shows each default that is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with the script's docstring as manual; a wrong flag is an InputError, in
    one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=Manual, allow_abbrev=False, **options)

    def add_device_flags(self) -> None:
        """The flags that `set_up_device` reads."""
        import torch  # here, so that a script without a model starts at once

        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.add_argument("--device", default=device, help="torch device")
        self.add_argument(
            "--precision",
            choices=("high", "highest"),
            help="float32 products: F.linear's to the bit (highest; the default of a GPU), or faster (high; that of a "
            "CPU): oneDNN on a CPU, TF32 on a GPU",
        )

    def add_endpoint_flags(self) -> None:
        """The flags of models behind an endpoint (NAME@URL)."""
        self.add_argument(
            "--concurrency",
            type=positive,
            default=16,
            help="calls to an endpoint under way at a time",
        )
        self.add_argument(
            "--timeout", type=positive, default=300, help="seconds an endpoint may stay silent"
        )
        self.add_argument(
            "--room-to-think",
            type=whole,
            default=0,
            help="tokens a model behind an endpoint may spend before its answer (OpenAI's that think: 2048 at least)",
        )

    def error(self, message: str):
        """Raises InputError, which `run_script` turns into the one line; argparse would print its
        usage."""
        raise InputError(f"{message} (see {self.prog} --help)")


def positive(text: str) -> int:
    """A flag's whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def whole(text: str) -> int:
    """A flag's whole number of 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


def not_negative(text: str) -> float:
    """A flag's finite number of 0 or more."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


def share(text: str) -> float:
    """A flag's number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def conditions(text: str) -> list[str]:
    """A comma-separated choice of the six conditions."""
    names = text.split(",")
    for name in names:
        if name not in CONDITIONS:
            raise argparse.ArgumentTypeError(
                f'"{name}" is none of the conditions {", ".join(CONDITIONS)}'
            )
    return names


def set_up_device(args: argparse.Namespace) -> str:
    """Check --device and switch --precision on, which follows from the device where it is not
    given.

    Returns this process's device: each of torchrun's has a GPU of its own, and touches no other.
    """
    import torch

    gpu, device = args.device.startswith("cuda"), args.device
    if gpu and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises either, by build
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}") from None
    args.precision = args.precision or ("highest" if gpu else "high")
    torch.set_float32_matmul_precision(args.precision)
    return device


@contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether Ctrl-C or SIGTERM has come. Within it they do no more than
    that, so that work is saved; but Ctrl-C again stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not asked and speaks():
            os.write(
                2, b"stopping after this step; Ctrl-C again stops at once\n"
            )  # print may be under way
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_script(main: Callable[[], None], again: str = "the same command goes on from here") -> None:
    """Run a script's `main`; an InputError becomes one line on stderr and exit status 2. `again` is
    said on Ctrl-C."""
    try:
        main()
    except InputError as error:
        stop(f"error: {error}", 2, error)
    except BrokenPipeError:  # the reader of our output (`| head`) has gone: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a folder where a file should be, a full disk, no permission
        stop(f"error: {error.filename or 'the system'}: {error.strerror or error}", 2, error)
    except KeyboardInterrupt as error:
        stop(f"stopped; {again}", 130, error)


def stop(line: str, status: int, error: BaseException) -> NoReturn:
    """Leave with one line on stderr; of torchrun's processes the first says it, the others tell
    torchrun's report."""
    if speaks():
        print(line, file=sys.stderr)
    else:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)
    sys.exit(status)


def speaks() -> bool:
    """Whether this is the only process, or the first of torchrun's."""
    return "TORCHELASTIC_ERROR_FILE" not in os.environ or os.environ["RANK"] == "0"
