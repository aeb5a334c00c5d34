"""judge.py prefer: which of two replies each condition's therapist finds likelier."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from act.dialogue.local import LocalChat
from act.dialogue.prompts import therapist_messages
from act.judging.check import EXCERPTS
from act.judging.prefer import measure, read_pairs, sequences, think
from act.model.adapter import save_adapter
from act.model.lora import attach, lora_layers
from act.model.sampler import Sampler, Sampling
from act.records import InputError, read_jsonl
from act.statistics.preferences import check_preference
from tests.conftest import EMBEDDED
from tests.tiny import message, write_rows

GREEDY = Sampling(0.0, 1.0, 48)
ROWS = [
    {"id": "p1", "client": "I never sleep.", "shows": "That hurts.", "lacks": "Cheer up, then!"},
    {"id": "p2", "client": "No.", "shows": "Stay.", "lacks": "Go.", "form": "ACT-FM", "item": 5},
]


@pytest.fixture(scope="module")
def therapist():
    return LocalChat.load(str(EMBEDDED), GREEDY, "cpu")


@pytest.fixture(scope="module")
def peer():
    return AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)


@torch.inference_mode()
def their_logps(peer, ids: list[int], start: int) -> list[float]:
    """transformers' log-probs of ids[start:], one sequence alone."""
    logps = peer(torch.tensor([ids])).logits[0].log_softmax(-1)
    return [logps[i - 1, ids[i]].item() for i in range(start, len(ids))]


@pytest.mark.slow
@pytest.mark.parametrize("cot", [False, True])
def test_preferences_equal_transformers_log_probs(therapist, peer, tokenizer, cot):
    """Ten of the bundled pairs, read as one tree of tokens here and one by one there, from ids that
    their tokenizer makes of the chat template; with CoT behind the reasoning that was found."""
    theirs = AutoTokenizer.from_pretrained(EMBEDDED)
    pairs = read_pairs(EXCERPTS)[::14]
    assert len(pairs) == 10
    for pair, found in zip(pairs, measure(therapist, pairs, cot), strict=True):
        prompt = theirs.apply_chat_template(pair.prompt(cot), add_generation_prompt=True)
        prompt = list(prompt["input_ids"] if hasattr(prompt, "keys") else prompt)
        for side, reply in pair.replies.items():
            opening = f"Thinking: {found['thinking']}\n\nAnswer:" if cot else ""
            start = len(prompt) + len(theirs.encode(opening))
            text = f"{opening} {reply}" if cot else reply
            ids = [*prompt, *theirs.encode(text), theirs.convert_tokens_to_ids("<|im_end|>")]
            *own, end = their_logps(peer, ids, start)
            assert found[side]["tokens"] == len(own)
            assert found[side]["logp"] == pytest.approx(sum(own) / len(own), abs=1e-4)
            assert found[side]["end_logp"] == pytest.approx(end, abs=1e-4)


@pytest.mark.slow
def test_reasoning_is_the_therapists_own_greedy_one(therapist, peer, tokenizer):
    """Token by token the likeliest, as transformers' generate finds it, from "Thinking:" to
    "Answer:", or to half of a reply's 48 tokens; its neighbours in the batch change nothing."""
    pairs = read_pairs(EXCERPTS)[:3]
    together = think(therapist, pairs)
    assert [think(therapist, [pair])[0] for pair in pairs] == together
    forced = tokenizer.encode("Thinking:")
    for pair, thinking in zip(pairs, together, strict=True):
        prompt = torch.tensor([tokenizer.prompt(pair.prompt(cot=True)) + forced])
        room = {"max_new_tokens": 24 - len(forced), "do_sample": False}
        done = peer.generate(prompt, attention_mask=torch.ones_like(prompt), **room)[0]
        text = tokenizer.decode(done[prompt.shape[1] :].tolist())
        assert thinking == text.partition("\nAnswer:")[0].strip()


def test_what_is_scored_is_the_reply_and_its_end(therapist, tokenizer, tmp_path):
    """The scored tokens, one sequence a reply: the reply's own, and the end's; the thinking stands
    before them and is no target."""
    (pair,) = read_pairs(write_rows(tmp_path / "p.jsonl", ROWS[:1]))
    for thinking, opening in ((None, ""), ("He hurts.", "Thinking: He hurts.\n\nAnswer:")):
        both = sequences(therapist, pair, thinking).answers
        prompt = tokenizer.prompt(pair.prompt(cot=thinking is not None))
        for answer, reply in zip(both, pair.replies.values(), strict=True):
            assert answer.ids[: answer.start] == prompt + tokenizer.encode(opening)
            own = tokenizer.encode(f" {reply}" if opening else reply)
            assert answer.ids[answer.start :] == [*own, tokenizer.end_ids[0]]


def test_a_whole_conversation_stands_for_the_clients_words(tokenizer, tmp_path):
    """ "prompt": the condition's system prompt, then these messages."""
    talk = [message("user", "Hm."), message("assistant", "Yes?"), message("user", "I never sleep.")]
    row = {"id": "p", "prompt": talk, "shows": "That hurts.", "lacks": "Cheer up."}
    (pair,) = read_pairs(write_rows(tmp_path / "p.jsonl", [row]))
    past = [{"client": "Hm.", "answer": "Yes?"}]
    assert pair.prompt(cot=True) == therapist_messages(past, "I never sleep.", cot=True)
    assert pair.about == {"form": None, "item": None, "direction": None}


BAD = {
    "no lacks": ({"id": "x", "client": "a", "shows": "b"}, '"lacks" is missing'),
    "blank": ({**ROWS[0], "shows": " "}, '"shows" or "lacks" is empty'),
    "blank client": ({**ROWS[0], "client": " "}, '"client" has an empty user message'),
    "equal": ({**ROWS[0], "shows": "b", "lacks": " b"}, "are the same"),
    "no client": ({"id": "x", "shows": "b", "lacks": "c"}, 'either "client"'),
    "prompt is a message": (
        {"id": "x", "prompt": message("user", "a"), "shows": "b", "lacks": "c"},
        '"prompt" is dict, not list',
    ),
    "prompt is a number": ({"id": "x", "prompt": 5, "shows": "b", "lacks": "c"}, "is int, not"),
    "no id": ({**ROWS[0], "id": " "}, '"id" is empty'),
    "both": ({**ROWS[0], "prompt": [message("user", "a")]}, 'either "client"'),
    "a system prompt": (
        {"id": "x", "prompt": [message("system", "a")], "shows": "b", "lacks": "c"},
        "has a system message; each condition brings its own",
    ),
    "last the therapist": (
        {"id": "x", "prompt": [message("assistant", "a")], "shows": "b", "lacks": "c"},
        "a user message last",
    ),
    "an item of no form": ({**ROWS[1], "item": 26}, '"item" is 26; ACT-FM has items 1 to 25'),
    "a form without item": ({**ROWS[0], "form": "TES"}, '"item" is None; TES has items 1 to 9'),
    "a list as form": ({**ROWS[1], "form": ["ACT-FM"]}, "\"form\" is ['ACT-FM'], none of ACT-FM"),
    "true as item": ({**ROWS[1], "item": True}, '"item" is True'),
    "a fraction as item": ({**ROWS[1], "item": 3.0}, '"item" is 3.0'),
    "another direction": (
        {**ROWS[1], "direction": "consistent"},
        "\"direction\" is 'consistent', and ACT-FM item 5 is inconsistent",
    ),
    "no direction": ({**ROWS[0], "direction": "good"}, "\"direction\" is 'good', none of"),
    "twice": (ROWS[0], "a second record with id p1"),
    "client is a number": ({**ROWS[0], "client": 3}, '"client" is int, not str'),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pairs_are_refused_with_their_line(tmp_path, name):
    row, reason = BAD[name]
    path = write_rows(tmp_path / "p.jsonl", [*ROWS, {"id": "p3"} | row])
    with pytest.raises(InputError) as raised:
        read_pairs(path)
    assert str(raised.value).startswith(f"{path}:3: ") and reason in str(raised.value)


def test_a_pair_about_no_item_may_say_that_what_it_shows_is_not_wanted(tmp_path):
    row = ROWS[0] | {"direction": "inconsistent"}
    (pair,) = read_pairs(write_rows(tmp_path / "p.jsonl", [row]))
    assert pair.about == {"form": None, "item": None, "direction": "inconsistent"}


def test_bundled_pairs_are_known_by_any_path(monkeypatch):
    monkeypatch.chdir(EXCERPTS.parent)
    assert read_pairs(Path("excerpts.jsonl"))[0].source == "bundled"


def test_what_does_not_fit_the_context_or_leaves_nothing_to_think_with_is_refused(folder, tmp_path):
    talk = [message("user", "so " * 600)]
    rows = [{"id": "long", "prompt": talk, "shows": "That hurts.", "lacks": "Cheer up."}]
    pairs = read_pairs(write_rows(tmp_path / "p.jsonl", rows))
    chat = LocalChat.load(str(folder), Sampling(0.0, 1.0, 32), "cpu")
    chat.context = 600
    for cot in (False, True):
        with pytest.raises(InputError, match=r"pair long: .* the context of .* holds 600"):
            list(measure(chat, pairs, cot))
    chat = LocalChat.load(str(folder), Sampling(0.0, 1.0, 4), "cpu")
    with pytest.raises(InputError, match="max-new-tokens 4: half of it leaves nothing to think"):
        list(measure(chat, pairs, cot=True))


def test_log_probs_that_are_no_numbers_are_refused(folder, tmp_path):
    """An adapter whose training diverged."""
    chat = LocalChat.load(str(folder), GREEDY, "cpu")
    weights = chat.model.model.norm.weight
    chat.model.model.norm.weight = torch.nn.Parameter(weights * torch.nan, requires_grad=False)
    pairs = read_pairs(write_rows(tmp_path / "p.jsonl", ROWS))
    with pytest.raises(FloatingPointError, match="pair p1: a log-prob is not finite"):
        list(measure(chat, pairs, cot=False))


def test_pairs_wait_for_room_to_think(folder, tmp_path, monkeypatch):
    """Where memory holds one row, one pair after the other; each thinks as among all."""
    rows = [ROWS[0] | {"id": f"p{i}", "client": f"I see {i} of them."} for i in range(4)]
    pairs = read_pairs(write_rows(tmp_path / "p.jsonl", rows))
    chat = LocalChat.load(str(folder), GREEDY, "cpu")
    together, step, most = think(chat, pairs), Sampler.step, []
    noted = lambda self: most.append(len(self.pending)) or step(self)  # noqa: E731
    monkeypatch.setattr(Sampler, "step", noted)
    chat.room = 1
    assert think(chat, pairs) == together and set(most) == {1}


@pytest.fixture
def adapters(folder, tmp_path):
    """An adapter of each trained condition, each with another start and a B that is not zero."""
    for seed, name in enumerate(("sft", "sft-cot", "orpo", "orpo-cot")):
        model = LocalChat.load(str(folder), GREEDY, "cpu").model
        torch.manual_seed(seed)
        attach(model, 2, 2)
        for layer in lora_layers(model).values():
            torch.nn.init.normal_(layer.lora_B, std=0.2)
        save_adapter(model, tmp_path / "adapters" / name, str(folder), 2, 2)
    return tmp_path / "adapters"


def test_the_command(run, refused, folder, adapters, tmp_path):
    """A record a pair and condition, each condition with its own adapter and prompt; killed and run
    again it goes on; other words, another adapter or an endpoint are refused."""
    pairs = write_rows(tmp_path / "p.jsonl", ROWS)
    words = ("judge.py", "prefer", "--model", folder, "--adapters", adapters, "--pairs", pairs)
    words += ("--max-new-tokens", 32, "--out", "pr.jsonl")
    assert run(*words).endswith("12 preferences in pr.jsonl\n")
    whole = (tmp_path / "pr.jsonl").read_bytes()
    records = list(read_jsonl(tmp_path / "pr.jsonl", check_preference))
    assert len({(r["shows"]["logp"], r["lacks"]["logp"]) for r in records}) == 12
    by_id = {record["id"]: record for record in records}
    assert by_id["sft/p2"]["direction"] == "inconsistent" and by_id["sft/p1"]["item"] is None
    assert by_id["orpo-cot/p1"]["thinking"] and by_id["orpo/p1"]["thinking"] is None
    # torn in the tenth record
    lines = whole.splitlines(keepends=True)
    (tmp_path / "pr.jsonl").write_bytes(b"".join(lines[:9]) + lines[9][:50])
    run(*words)
    for record in read_jsonl(tmp_path / "pr.jsonl", check_preference):
        before = by_id.pop(record["id"])  # other pairs of its tree round otherwise
        for side in ("shows", "lacks"):
            assert record.pop(side) == pytest.approx(before.pop(side), abs=1e-5)
        assert record == before
    assert not by_id
    write_rows(pairs, [ROWS[0] | {"shows": "Other."}, ROWS[1]])
    assert "instruct/p1 had other words" in refused(*words)
    write_rows(pairs, ROWS)
    # of one condition, with other tokens to think with than the others' have
    other = (*words[:-3], 48, *words[-2:], "--conditions", "instruct-cot")
    assert "was made with sampling" in refused(*other)
    weights = adapters / "sft/adapter_model.safetensors"
    weights.write_bytes((adapters / "orpo/adapter_model.safetensors").read_bytes())
    assert "sft/p1 was made with adapters" in refused(*words)
    said = refused(*words[:3], "m@http://sk-1@h/v1", *words[4:])
    assert "m@...: an endpoint; a model folder is wanted here" in said and "sk-1" not in said
    (adapters / "orpo/adapter_model.safetensors").unlink()
    assert "orpo: no adapter there; train it, or leave orpo" in refused(*words)
