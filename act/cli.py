"""What the five scripts share: a parser whose --help reads as a manual, and one line for each user error."""

import argparse
import os
import sys
from collections.abc import Callable

import torch

from act.records import CONDITIONS, InputError


class Manual(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """--help keeps the docstring's lines and shows each default."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with the script's docstring as manual; a wrong flag is an InputError, in one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=Manual, allow_abbrev=False, **options)

    def error(self, message: str):
        raise InputError(f"{message} (see {self.prog} --help)")


def positive(text: str) -> int:
    """A flag's whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def conditions(text: str) -> list[str]:
    """A comma-separated choice of the six conditions."""
    names = text.split(",")
    for name in names:
        if name not in CONDITIONS:
            raise argparse.ArgumentTypeError(f'"{name}" is none of the conditions {", ".join(CONDITIONS)}')
    return names


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; an InputError becomes one line on stderr and exit status 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output (`| head`) has gone: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
