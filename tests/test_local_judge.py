"""The judge of this process: its slot probabilities, what it sees, what it does with a transcript
that is too long."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

import judge as judge_script
from act.cli import run_script
from act.forms import FORMS, slots
from act.judging.judge import LocalJudge, Text, request, said_in, slot_messages
from act.model.prefix_tree import digit_ids, slot_probs
from act.records import CONDITIONS, InputError, check_rating, read_jsonl
from tests.conftest import EMBEDDED, ROOT

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"
SESSIONS = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def shortened(session, turns):
    return session | {"turns": session["turns"][:turns]}


def tiny_judge(folder, long, room):
    judge = LocalJudge(str(folder), FORMS, long, "cpu")
    judge.batch = 2
    judge.model.config = replace(judge.model.config, max_position_embeddings=room)
    return judge


@pytest.mark.slow
def test_slot_probabilities_equal_transformers_on_the_same_text(embedded, tokenizer):
    """All 34 slots of a transcript of two turns, with the product of the scripts (--precision high)
    and the exact one.

    transformers reads what the 34 prompts share once, and their ends side by side behind it."""
    theirs = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    said = said_in(shortened(SESSIONS[0], 2))
    prompts = [tokenizer.prompt(slot_messages(said, slot)) for slot in slots()]
    shared = next(i for i, column in enumerate(zip(*prompts, strict=False)) if len(set(column)) > 1)
    ends = [torch.tensor(prompt[shared:]) for prompt in prompts]
    padded = torch.nn.utils.rnn.pad_sequence(ends, batch_first=True)  # on the right: never seen
    with torch.no_grad():
        beginning = torch.tensor([prompts[0][:shared]])
        cache = theirs(beginning, use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(prompts))
        logits = theirs(padded, past_key_values=cache).logits  # (34, T, V)
    truth = []
    for end, row, slot in zip(ends, logits, slots(), strict=True):
        ids = [tokenizer.encode(digit)[0] for digit in slot.digits]
        truth.append(row[len(end) - 1, ids].softmax(-1))
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        ours = slot_probs(embedded, tokenizer, prompts, [slot.digits for slot in slots()])
        apart = max(
            (probs - true).abs().max().item() for probs, true in zip(ours, truth, strict=True)
        )
        assert apart < 1e-4, (precision, apart)


def test_digits_have_a_token_each_and_a_vocabulary_without_them_is_refused(tokenizer):
    lead, ids = digit_ids(tokenizer, tuple("1234567"))
    assert lead == [] and [tokenizer.decode([i]) for i in ids] == list("1234567")
    with pytest.raises(InputError, match="no token of its own for each of the digits 1, 10"):
        digit_ids(tokenizer, ("1", "10"))
    # one that spells every digit with its unknown token
    unknown = SimpleNamespace(reply=lambda text: [7, 0, 2])
    with pytest.raises(InputError, match="no token of its own for each of the digits 1, 2"):
        digit_ids(unknown, ("1", "2"))


def test_a_judge_never_sees_condition_or_thinking():
    session = SESSIONS[0] | {"condition": "orpo-cot"}
    seen = json.dumps(request(said_in(session)))
    assert session["turns"][2]["answer"] in request(said_in(session))[1]["content"]
    assert "orpo" not in seen
    assert not any(
        turn["thinking"] in request(said_in(session))[1]["content"] for turn in session["turns"]
    )


def test_each_slot_alone_is_the_slot_of_the_whole_form_and_a_rating_is_of_its_text(folder):
    judge = tiny_judge(folder, "last", 4096)
    texts = [
        Text((i,), said_in(shortened(session, i + 1))) for i, session in enumerate(SESSIONS[:3])
    ]
    whole = {text.key: judgement for text, judgement in judge.rate(texts)}
    for text, judgement in judge.rate([replace(text, items=[7]) for text in texts]):
        assert judgement.ratings[7] == whole[text.key].ratings[7] and judgement.ratings[6] is None
        assert judgement.expected[7] == pytest.approx(whole[text.key].expected[7], abs=1e-5)
    (alone,) = (judgement for _, judgement in judge.rate(texts[1:2]))
    assert alone.expected == pytest.approx(whole[1,].expected, abs=1e-5)


@pytest.mark.parametrize("long", ["refuse", "last"])
def test_trap_19_a_transcript_that_does_not_fit_is_refused_or_windowed_and_says_so(folder, long):
    judge = tiny_judge(folder, long, 900)
    said = said_in(SESSIONS[0])
    ((_, judgement),) = judge.rate([Text(("c01",), said)])
    if long == "refuse":
        assert (judgement.status, judgement.ratings) == ("context", None)
        return
    first, last = judgement.more["window"]
    assert judgement.status == "ok" and 1 < first <= last == 12
    ((_, of_these),) = judge.rate([Text(("c01",), said[first - 1 :])])
    assert of_these.expected == pytest.approx(judgement.expected, abs=1e-5)
    ((_, wider),) = judge.rate([Text(("c01",), said[first - 2 :])])
    assert "window" in wider.more  # one turn more would not have fitted


def test_prompts_are_built_group_by_group_and_a_window_is_found_by_halving(folder):
    """Before the first group is rated only its own transcripts have been rendered, 34 times; where
    one is too long, a handful of lengths are tried, not one for each turn."""
    judge, made = tiny_judge(folder, "last", 4096), []
    prompt = judge.tokenizer.prompt
    judge.tokenizer.prompt = lambda messages: made.append(messages) or prompt(messages)
    texts = [Text((i,), said_in(shortened(session, 2))) for i, session in enumerate(SESSIONS[:6])]
    rating = judge.rate(texts)
    next(rating)
    assert len(made) == 2 * 35
    assert len(list(rating)) == 5 and len(made) == 6 * 35
    many = Text(("c01",), said_in(SESSIONS[0]) * 4, items=[0])  # 48 turns
    room = max(
        len(prompt(slot_messages(many.said[41:], slot))) for slot in slots()
    )  # turn 42 fits with most slots only
    judge.model.config = replace(judge.model.config, max_position_embeddings=room)
    made.clear()
    ((_, judgement),) = judge.rate([many])
    first, last = judgement.more["window"]
    assert (first, last) == (43, 48) and len(made) <= 1 + 6 + 1


def test_a_session_without_answers_is_not_rated(folder, tmp_path, monkeypatch, capsys):
    unanswered = SESSIONS[0]["turns"][0] | {"answer": None, "thinking": None, "status": "error"}
    record = SESSIONS[0] | {
        "id": "sft/c01",
        "condition": CONDITIONS[2],
        "turns": [unanswered],
        "status": "error",
    }
    (tmp_path / "s.jsonl").write_text(json.dumps(record) + "\n")
    monkeypatch.chdir(tmp_path)
    words = ["--sessions", "s.jsonl", "--judge", str(folder), "--out", "r.jsonl"]
    monkeypatch.setattr("sys.argv", ["judge.py", "rate", *words])
    run_script(judge_script.main)
    assert "1 of them without forms" in capsys.readouterr().out
    (rating,) = read_jsonl(tmp_path / "r.jsonl", check_rating)
    assert (rating["status"], rating["act_fm"], rating["tes"]) == ("empty", None, None)
