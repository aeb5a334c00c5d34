"""`make compare-order`: does it matter whether a step's pairs come from one session? Three seeds of
each --order.

Trains ORPO on the bundled corpus with the last two sessions held out, as `make study` does, and
prints the held-out margin and NLL before and after, their mean and standard deviation over seeds,
and the tokens computed.
"""

import json
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).parent.parent


def trained(order: str, seed: int, model: str, data: str, out: Path) -> dict:
    words = f"--method orpo --model {model} --data {data} --out {out} --order {order} --seed {seed}"
    words += " --held-out-sessions 2 --lr 5e-4 --lambda-or 0.5 --batch 3"
    command = [sys.executable, str(ROOT / "train.py"), *words.split()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    tokens = sum(line["unique_tokens"] for line in lines[1:-1])
    return {"before": lines[0], "after": lines[-1], "tokens": tokens}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    rows: dict[str, list[dict]] = {"session": [], "random": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            for order, runs in rows.items():
                out = Path(folder) / f"{order}-{seed}"
                runs.append(trained(order, seed, args.model, args.data, out))
    before = rows["session"][0]["before"]
    print(f"before: NLL {before['nll']:.4f}, margin {before['margin']:.4f}")
    print(f"{'order':10}{'NLL (SD)':>20}{'margin (SD)':>20}{'tokens computed':>18}")
    for order, runs in rows.items():
        cells = [[run["after"][name] for run in runs] for name in ("nll", "margin")]
        shown = "".join(f"{f'{mean(x):.4f} ({stdev(x):.4f})':>20}" for x in cells)
        print(f"{order:10}{shown}{mean(run['tokens'] for run in runs):18,.0f}")
    print(json.dumps({"bench": "order", "rows": rows}))


if __name__ == "__main__":
    main()
