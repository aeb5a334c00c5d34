"""`make bench-judge`: 24 transcripts of 8 turns rated by the embedded model, against transformers
writing the forms.

Ours reads a transcript once and decides 34 slots; the peer does what the published code does: it
generates the filled form, here of exactly the form's length, one transcript after another,
key-value cache on. It is measured on --peer transcripts, by turns with ours. Prints a table and a
JSON line.
"""

import json
import os
import time
from argparse import ArgumentParser
from itertools import islice
from statistics import median

import torch
import transformers
from transformers import AutoModelForCausalLM

from act.forms import FORMS, render
from act.judging.judge import LocalJudge, Text, form_messages, said_in
from tests.conftest import EMBEDDED, ROOT


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--transcripts", type=int, default=24)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument(
        "--peer", type=int, default=3, help="transcripts of which the peer writes forms"
    )
    args = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    judge = LocalJudge(str(EMBEDDED), FORMS, "refuse", "cpu")
    peer = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    tokenizer = judge.tokenizer

    lines = (ROOT / "act/dialogue/corpus/sessions.jsonl").read_text(encoding="utf-8").splitlines()
    said = [said_in(json.loads(line)) for line in lines]
    windows = (one[start : start + args.turns] for start in (0, 4) for one in said)
    texts = [Text((i,), window) for i, window in enumerate(islice(windows, args.transcripts))]
    length = len(tokenizer.encode(render([1] * 34)))
    tokens = [len(tokenizer.prompt(form_messages(text.said, FORMS))) for text in texts]

    peer_s, ours_s = [], []
    group = len(texts) // args.peer
    for i in range(args.peer):
        prompt = torch.tensor([tokenizer.prompt(form_messages(texts[i * group].said, FORMS))])
        start = time.perf_counter()
        peer.generate(prompt, do_sample=False, max_new_tokens=length, min_new_tokens=length)
        peer_s.append(time.perf_counter() - start)
        mine = texts[i * group : (i + 1) * group]
        start = time.perf_counter()
        assert all(judgement.status == "ok" for _, judgement in judge.rate(mine))
        ours_s.append((time.perf_counter() - start) / len(mine))
    ratio = median(peer_s) / median(ours_s)
    size = f"{median(tokens):.0f} tokens with the forms, {length} to write"
    print(f"{len(texts)} transcripts of {args.turns} turns, {size}")
    print(f"ours          {median(ours_s):6.2f} s a transcript")
    print(f"transformers  {median(peer_s):6.2f} s a transcript   {ratio:.1f} times ours")
    result = {
        "bench": "judge",
        "ours_s": median(ours_s),
        "transformers_s": median(peer_s),
        "vs_transformers": ratio,
    }
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cores": os.cpu_count(),
    }
    print(json.dumps(result | versions | {"cpu": torch.backends.cpu.get_cpu_capability()}))


if __name__ == "__main__":
    main()
