"""What training did, to be looked at: curves.png and replies.txt beside a run's log.jsonl.

They are made behind the last step, once the weights are on the disk. Where one of them cannot be
made (no matplotlib, a full disk, too little memory) a line says so, and the run is none the worse.
"""

import json
from pathlib import Path

import torch
from tqdm import tqdm

from act.files import whole_file, write_text
from act.model.checkpoint import load_model
from act.model.sampler import Request, Sampler, Sampling
from act.model.tokenizer import ChatTokenizer
from act.training.examples import Example

PANELS = {  # title -> what the log calls it: its name in the legend
    "NLL a token of the chosen answers": {"nll": "NLL"},
    "mean log-prob a token": {"chosen_logp": "chosen", "rejected_logp": "rejected"},
    "log odds ratio, the margin": {"margin": "margin"},
    "norm of the gradient, unclipped": {"grad_norm": "norm"},
}
COLOURS = ("#0072B2", "#D55E00")  # told apart by the colour-blind
PROMPTS = 3  # held-out ones that are answered, the shortest
REPLY = 40  # tokens, at most
TAIL = 160  # letters that are shown of a prompt, at its end


def draw_curves(records: list[dict], path: Path) -> None:
    """A log's steps as lines, its held-out metrics before and after as dots that a dashed line
    joins. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    steps = [record for record in records if "loss" in record]
    held_out = [record for record in records if "loss" not in record]  # before, after
    # 1. a panel for each title that the log has something of
    logged = {name for record in records for name in record}
    panels = {title: names for title, names in PANELS.items() if logged & set(names)}
    figure = Figure(figsize=(3.3 * len(panels), 3.2), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, names) in zip(row, panels.items(), strict=True):
        # 2. a colour for each number
        for (name, label), colour in zip(names.items(), COLOURS, strict=False):
            for some, style, told in ((steps, ".-", ""), (held_out, "o--", ", held out")):
                x = [record["step"] for record in some if name in record]
                y = [record[name] for record in some if name in record]
                if x:
                    axes.plot(x, y, style, color=colour, mfc="white", label=label + told)
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="step", xlim=(-0.02 * len(steps), None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(frameon=False, fontsize=8)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


@torch.inference_mode()
def greedy(
    spec: str, tokenizer: ChatTokenizer, prompts: list[list[int]], like: torch.Tensor
) -> list[str]:
    """The likeliest replies of a model (FOLDER or FOLDER+ADAPTER) to prompts as token ids; it is
    loaded on the device and in the type of `like`."""
    model = load_model(spec, like.device, like.dtype)
    sampler = Sampler(model, tokenizer.end_ids, Sampling(0, 1, REPLY))
    replies = sampler.decode([Request(str(i), prompt) for i, prompt in enumerate(prompts)])
    return [tokenizer.decode(reply.ids) + "..." * (reply.finish == "length") for reply in replies]


def write_replies(
    path: Path,
    models: dict[str, str],
    tokenizer: ChatTokenizer,
    examples: list[Example],
    like: torch.Tensor,
) -> None:
    """What each of `models` says to a few prompts of `examples`, beside the answers there."""
    few = sorted(examples, key=lambda example: example.chosen.start)[:PROMPTS]
    prompts = [example.chosen.ids[: example.chosen.start] for example in few]
    said = {}  # of each model, its replies
    for name, spec in tqdm(models.items(), desc="replies", unit="model"):
        said[name] = greedy(spec, tokenizer, prompts, like)
    text = ""
    for i, example in enumerate(few):
        lines = {"prompt": tokenizer.decode(prompts[i])[-TAIL:]}  # its end
        for name, answer in zip(("chosen", "rejected"), example.answers, strict=False):
            lines[name] = tokenizer.decode(answer.ids[answer.start :])
        lines |= {name: replies[i] for name, replies in said.items()}
        # of one line each, and nothing that steers a terminal
        text += f"{example.place}\n"
        text += "".join(f"  {name:9}{line!r}\n" for name, line in lines.items())
    write_text(text, path)


def show(
    out: Path,
    models: dict[str, str],
    tokenizer: ChatTokenizer,
    held_out: list[Example],
    like: torch.Tensor,
) -> None:
    """Both files of a finished run: `out` is its folder, `models` what it began with and made."""

    def curves(path: Path) -> None:
        lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
        draw_curves([json.loads(line) for line in lines], path)

    def replies(path: Path) -> None:
        write_replies(path, models, tokenizer, held_out, like)

    made = {"curves.png": curves} | ({"replies.txt": replies} if held_out else {})
    for name, make in made.items():
        try:
            make(out / name)
        except Exception as error:  # whatever it is: the run is finished
            cause = str(error).partition("\n")[0]
            print(f"{name} is left out: {cause}")
