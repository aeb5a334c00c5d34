"""train.py several times in one launch of torchrun (starting takes seconds): `torchrun ...
tests/runs.py RUNS.json`

RUNS.json is a list of {"flags": [...], "stop": step or null, "kill": bool}: a run with "stop" ends
when the state of that step has been written, with its process if "kill" says so.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import train
from act.training import distributed
from act.training.state import TrainState

save = TrainState.save


class Stopped(BaseException):
    pass


def main() -> None:
    distributed.start("cpu")
    distributed.start, distributed.stop = lambda device: None, lambda: None
    for run in json.loads(Path(sys.argv[1]).read_text()):

        def save_and_stop(self: TrainState, *arguments, run=run) -> None:
            save(self, *arguments)
            distributed.wait()
            if self.step == run["stop"]:
                if run["kill"]:
                    os._exit(9)
                raise Stopped

        TrainState.save = save_and_stop
        sys.argv = ["train.py", *run["flags"]]
        try:
            train.main()
        except Stopped:
            print(f"stopped {run['flags']}", flush=True)


if __name__ == "__main__":
    main()
