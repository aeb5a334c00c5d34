"""A script that is killed at its N-th write: python -m tests.dying N SCRIPT ARGUMENTS...

A line that grows a file is left half written, a file that is to be whole lies there under its other
name, not yet in its place. The kill is SIGKILL; a command of fewer writes ends as it would.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

import act.files


def main() -> None:
    left = int(sys.argv[1])
    append, replace = act.files.append_whole, Path.replace

    def dies() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def append_half(file, line: bytes, sync: bool) -> None:
        if dies():
            file.write(line[: len(line) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        append(file, line, sync)

    def replace_not(path: Path, place: Path) -> Path:
        if dies():
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, place)

    act.files.append_whole, Path.replace = append_half, replace_not
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
