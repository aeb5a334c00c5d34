"""A judge behind an endpoint: JSON by schema or lines by the strict grammar, bounded attempts,
log-probs, resume."""

import json
import math
import random

import pytest

import judge as judge_script
from act.cli import run_script
from act.forms import FORMS, render, slots
from act.judging.judge import family_of, same_family
from act.records import check_rating, read_jsonl
from tests.conftest import ROOT
from tests.fake_server import completion, serving, status

CORPUS = ROOT / "act/dialogue/corpus/sessions.jsonl"
RATED = [i % 4 for i in range(25)] + [1 + i % 7 for i in range(9)]


def as_json(ratings):
    sheets, start = {}, 0
    for form in FORMS:
        sheets[form.name] = {str(k): ratings[start + k - 1] for k in range(1, len(form.items) + 1)}
        start += len(form.items)
    return json.dumps(sheets)


def as_tokens(text, ratings, share=0.7):
    """The log-probs a server would give: the text in pieces, each rating a token of its own with a
    rival below it."""
    content, rated, at = [], iter(zip(slots(), ratings, strict=True)), 0
    while at < len(text):
        end = at + 1 if text[at].isdigit() else at + 3
        piece = text[at:end]
        if not text[at].isdigit():
            piece = piece[: next((i for i, c in enumerate(piece) if c.isdigit()), len(piece))]
        entry = {"token": piece, "logprob": 0.0, "top_logprobs": [{"token": piece, "logprob": 0.0}]}
        is_rating = piece.isdigit() and (
            text[at - 2 : at] == ": " and text[at + 1 : at + 2] not in ("", '"')
        )
        if is_rating:
            slot, rating = next(rated)
            rival = slot.digits[(slot.digits.index(str(rating)) + 1) % len(slot.digits)]
            tops = [(piece, share), (f" {rival}", 1 - share - 0.1), ("x", 0.1)]
            entry["top_logprobs"] = [{"token": token, "logprob": math.log(p)} for token, p in tops]
        content.append(entry)
        at += len(piece)
    return {"content": content}


def with_logprobs(text, ratings):
    reply = completion(text)
    reply["choices"][0]["logprobs"] = as_tokens(text, ratings)
    return reply


@pytest.fixture
def rate(tmp_path, monkeypatch, capsys):
    """rate(server, *flags) runs judge.py rate on the corpus in this process; returns (ratings,
    stdout, stderr)."""

    def run(server, *flags, out="r.jsonl"):
        spec = f"fake@{server.url}"
        words = ["judge.py", "rate", "--sessions", CORPUS, "--judge", spec, *flags]
        words += ["--out", tmp_path / out]
        monkeypatch.setattr("sys.argv", list(map(str, words)))
        run_script(judge_script.main)
        return list(read_jsonl(tmp_path / out, check_rating)), *capsys.readouterr()

    return run


def test_json_by_schema_is_asked_for_and_read(rate):
    with serving(lambda body, n: as_json(RATED)) as server:
        ratings, said, _ = rate(server)
        assert len(server.requests) == len(ratings) == 16
        again, *_ = rate(server)  # everything is there
        assert again == ratings and len(server.requests) == 16
    assert all(
        r["act_fm"] + r["tes"] == RATED and r["attempts"] == 1 and r["rater"] == "fake"
        for r in ratings
    )
    assert "not checked here" in said.splitlines()[0]
    body = server.requests[0]["body"]
    schema = body["response_format"]["json_schema"]
    assert schema["strict"] and body["logprobs"] and body["temperature"] == 0
    tes = schema["schema"]["properties"]["TES"]
    assert tes["required"] == [str(k) for k in range(1, 10)]
    assert tes["properties"]["9"]["enum"] == list(range(1, 8))
    assert tes["additionalProperties"] is False
    assert "TES 9. answers to what the client just brought: ?" in body["messages"][1]["content"]


def test_a_server_that_refuses_the_schema_is_asked_for_lines(rate):
    def say(body, n):
        if {"response_format", "logprobs"} & set(body):
            return status(422, {"detail": "extra fields not permitted"})
        return f"Here they are.\n\n{render(RATED)}"

    with serving(say, probed=say) as server:
        ratings, _, warned = rate(server, "--concurrency", 1)
    # all, the barest, the system role, temperature, seed, top_p, the schema, 20 and 5 log-probs
    assert (len(server.requests), len(server.probes)) == (16, 9)
    assert all(r["act_fm"] + r["tes"] == RATED for r in ratings)
    assert ratings[0]["judge"]["served"] == {"schema": "none", "logprobs": "none"}
    for said in ("asks with schema: none, since HTTP 422", "asks with logprobs: none, since HTTP"):
        assert warned.count(said) == 1
    assert "16 of 16 ratings by fake have no expected ratings" in warned


def test_rubbish_one_time_in_three_is_never_recorded_and_attempts_are_counted_and_bounded(rate):
    draw = random.Random(0)
    rubbish = [
        "I would say about 2 throughout.",
        render(RATED)[:-40],
        render([*RATED[:-1], "5.5"]),
        as_json(RATED).replace('"7": 2', '"7": 9', 1),
        as_json(RATED)[:-30],
        completion(render(RATED), finish="length"),
        render(RATED[:25] + [0] * 9),
    ]

    def say(body, n):
        return (
            draw.choice(rubbish)
            if draw.random() < 1 / 3
            else draw.choice([as_json(RATED), render(RATED)])
        )

    with serving(say) as server:
        ratings, said, _ = rate(server, "--replicates", 5, "--attempts", 3)
    assert len(ratings) == 80 and {r["replicate"] for r in ratings} == set(range(5))
    for r in ratings:
        assert (
            r["status"] == "ok"
            and r["act_fm"] + r["tes"] == RATED
            or r["status"] == "format"
            and r["tes"] is None
        )
        assert len(r["refusals"]) == r["attempts"] - (r["status"] == "ok") <= 3
    assert sum(r["attempts"] for r in ratings) == len(server.requests) > 80
    bad = sum(r["status"] == "format" for r in ratings)
    assert "80 ratings in" in said and f"{bad} of them without forms" in said and bad < 12
    asked = {}
    for request in server.requests:  # no two replicates or attempts of a session have one seed
        asked.setdefault(request["body"]["messages"][1]["content"], []).append(
            request["body"]["seed"]
        )
    assert all(len(set(seeds)) == len(seeds) for seeds in asked.values())


def test_a_judge_that_only_writes_rubbish_ends(rate):
    with serving(lambda body, n: "no") as server:
        ratings, said, _ = rate(server, "--attempts", 2)
    assert len(server.requests) == 32 and {r["status"] for r in ratings} == {"format"}
    assert ratings[0]["refusals"] == ["neither a heading nor an item of a named form: 'no'"] * 2
    assert "16 of them without forms" in said


@pytest.mark.parametrize("write", [as_json, render])
def test_log_probabilities_become_expected_ratings(rate, write):
    with serving(
        lambda body, n: with_logprobs(write(RATED) + " \n" * (write is render), RATED)
    ) as server:
        ratings, *_ = rate(server)
    for slot, rating, expected in zip(
        slots(), RATED, ratings[0]["act_fm_expected"] + ratings[0]["tes_expected"], strict=True
    ):
        rival = int(slot.digits[(slot.digits.index(str(rating)) + 1) % len(slot.digits)])
        assert expected == pytest.approx((0.7 * rating + 0.2 * rival) / 0.9)


@pytest.mark.parametrize("end", ["<|im_end|>", "</s>", "<eos>", ""])
@pytest.mark.parametrize("write", [as_json, render])
def test_an_end_token_that_the_text_does_not_show_is_no_other_word(rate, end, write):
    """vLLM lists it last among the log-probabilities."""
    reply = with_logprobs(write(RATED), RATED)
    last = {"token": end, "logprob": -0.01, "top_logprobs": []}
    reply["choices"][0]["logprobs"]["content"].append(last)
    with serving(lambda body, n: reply) as server:
        ratings, _, warned = rate(server)
    assert all("act_fm_expected" in rating for rating in ratings)
    assert "no expected ratings" not in warned


def test_where_expected_ratings_cannot_be_had_a_line_says_so(rate):
    """Of 16 texts two get log-probabilities of other words."""
    other = with_logprobs(as_json(RATED), RATED)
    other["choices"][0]["logprobs"]["content"][0]["token"] = "Ratings: "
    good = with_logprobs(as_json(RATED), RATED)
    with serving(lambda body, n: other if n in (3, 9) else good) as server:
        ratings, _, warned = rate(server)
    assert sum("tes_expected" in rating for rating in ratings) == 14
    said = "warning: 2 of 16 ratings by fake have no expected ratings: the server gives no log-"
    assert said in warned


def test_a_filter_that_refuses_the_first_text_costs_that_text_alone(rate):
    """It is no refusal of the schema or the log-probabilities: the others are asked with both."""
    first = json.loads(CORPUS.read_text(encoding="utf-8").splitlines()[0])["turns"][0]["client"]
    filtered = {"code": "content_filter", "message": "triggered the content management policy"}

    def say(body, n):
        if first in body["messages"][-1]["content"]:
            return status(400, {"error": filtered})
        return with_logprobs(as_json(RATED), RATED)

    with serving(say) as server:
        ratings, *_ = rate(server, "--concurrency", 1)
    assert [rating["status"] for rating in ratings] == ["refused"] + ["ok"] * 15
    assert all("act_fm_expected" in rating for rating in ratings[1:])
    assert all({"response_format", "logprobs"} <= r["body"].keys() for r in server.requests)
    assert len(server.requests) == 16


DISCLAIMERS = [
    "I can't rate this, so here is a placeholder form:",
    "As an AI I am not able to rate a therapist. An example of how it would be filled in:",
    "Note: these are not real ratings.",
    "(placeholder)",
]


@pytest.mark.parametrize("write", [as_json, render])
@pytest.mark.parametrize("place", ["{said}\n\n{form}", "{form}\n\n{said}"])
def test_a_judge_that_disclaims_has_not_rated_and_is_asked_again(rate, place, write):
    """A whole form stands beside it, in front or behind, and is not read. The second try counts."""
    form = write(RATED)

    def say(body, n):
        return place.format(said=DISCLAIMERS[n - 1], form=form) if n <= len(DISCLAIMERS) else form

    with serving(say) as server:
        ratings, *_ = rate(server, "--concurrency", 1)
    again = [rating for rating in ratings if rating["attempts"] == 2]
    assert len(again) == len(DISCLAIMERS) and len(server.requests) == 16 + len(again)
    for rating in again:
        assert rating["refusals"][0].startswith("neither a heading nor an item of a named form")
    assert {rating["status"] for rating in ratings} == {"ok"}


def rated_tokens(reply):
    """The entries of the 34 ratings among the tokens of `with_logprobs`."""
    return [
        entry
        for entry in reply["choices"][0]["logprobs"]["content"]
        if len(entry["top_logprobs"]) == 3
    ]


@pytest.mark.parametrize("logprob", [0.0, -1e-9, -0.1, -0.3])
def test_a_judge_that_is_sure_of_the_highest_rating_stays_within_the_range(rate, logprob):
    """The chosen digit alone, with what OpenAI gives for the impossible; and a list that holds only
    a rival's 1e-6."""
    sure, unlisted = (
        with_logprobs(as_json([3] * 25 + [7] * 9), [3] * 25 + [7] * 9) for _ in range(2)
    )
    for entry in rated_tokens(sure):
        rivals = [{"token": c, "logprob": -9999.0} for c in "01234567" if c != entry["token"]]
        entry["top_logprobs"] = [{"token": entry["token"], "logprob": logprob}, *rivals]
    for entry in rated_tokens(unlisted):
        entry |= {"logprob": logprob, "top_logprobs": [{"token": "1", "logprob": math.log(1e-6)}]}
    for reply, error in ((sure, 0), (unlisted, 1e-4)):
        with serving(lambda body, n, reply=reply: reply) as server:
            ratings, *_ = rate(server, out=f"{error}.jsonl")
        expected = ratings[0]["act_fm_expected"], ratings[0]["tes_expected"]
        assert max(expected[0]) <= 3 and max(expected[1]) <= 7
        assert expected == (
            pytest.approx([3] * 25, abs=error + 1e-12),
            pytest.approx([7] * 9, abs=error + 1e-12),
        )


def test_trap_23_log_prob_scores_never_fall_back_to_text_scores(rate, refused, tmp_path):
    """Without log-probs, with tokens lost, of another shape, other words or another order, with
    NaN, or with less than half of the probability on the allowed digits: no expected ratings at
    all.

    In the last reply TES stands first, and all ratings are 2: by place alone its digits would go to
    wrong items.
    """
    lost = with_logprobs(as_json(RATED), RATED)
    lost["choices"][0]["logprobs"]["content"].pop(40)
    other = with_logprobs(as_json(RATED), RATED)
    other["choices"][0]["logprobs"]["content"][0]["token"] = "Ratings: "
    null, odd, huge = (with_logprobs(as_json(RATED), RATED) for _ in range(3))
    null["choices"][0]["logprobs"]["content"][7]["token"] = None
    odd["choices"][0]["logprobs"]["content"] = [["TES", -0.1]]
    for token in huge["choices"][0]["logprobs"]["content"]:
        token["top_logprobs"] = [{"token": c, "logprob": 1e9} for c in "01234567"]
    listed, nan, small = (with_logprobs(as_json(RATED), RATED) for _ in range(3))
    listed["choices"][0]["logprobs"] = [1]
    rated_tokens(nan)[3]["top_logprobs"][0]["logprob"] = math.nan
    rated_tokens(small)[3]["top_logprobs"] = [{"token": str(RATED[3]), "logprob": math.log(0.4)}]
    swapped = json.dumps(dict(reversed(json.loads(as_json([2] * 34)).items())))
    swapped = with_logprobs(swapped, [2] * 34)
    for i, reply in enumerate(
        (as_json(RATED), lost, other, null, odd, huge, listed, nan, small, swapped)
    ):
        with serving(lambda body, n, reply=reply: reply) as server:
            ratings, *_ = rate(server, out=f"{i}.jsonl")
        assert all(
            "act_fm_expected" not in r and "tes_expected" not in r and r["status"] == "ok"
            for r in ratings
        )
    words = ("agree", "--human", "0.jsonl", "--judge", "0.jsonl", "--score", "expected")
    assert "gave no probabilities" in refused("judge.py", *words)


def test_trap_22_judge_and_generator_of_one_family_are_warned_of(rate, tmp_path, monkeypatch):
    assert (
        family_of("mistral-large-latest@https://api.mistral.ai/v1")
        == family_of("models/Mixtral-8x7B")
        == "Mistral"
    )
    assert family_of("models/Llama-3.2-3B-Instruct+runs/judge") == "Llama"
    assert (
        family_of("gpt-5-mini@https://api.openai.com/v1") == family_of("o3@https://x/v1") == "GPT"
    )
    assert family_of("models/own-thing/") == "own-thing"
    (tmp_path / "renamed").mkdir()
    (tmp_path / "renamed/config.json").write_text('{"_name_or_path": "Qwen/Qwen3-8B"}')
    assert family_of(str(tmp_path / "renamed")) == "Qwen"
    client = {"client": "gpt-5@https://api.openai.com/v1"}
    sessions = [{"models": {"therapist": "models/Llama-3.2-3B-Instruct+sft"} | client}]
    assert same_family("meta-llama/Llama-3-70B@http://x/v1", sessions) == ["therapist"]
    assert same_family("gpt-5@https://api.openai.com/v1", sessions) == ["client"]
    assert same_family("claude-opus@http://x/v1", sessions) == []

    session = json.loads(CORPUS.read_text(encoding="utf-8").splitlines()[0])
    (tmp_path / "s.jsonl").write_text(
        json.dumps(session | {"models": {"therapist": "fake@http://x/v1", "client": "b"}})
    )
    monkeypatch.setattr("tests.test_served_judge.CORPUS", tmp_path / "s.jsonl")
    with serving(lambda body, n: as_json(RATED)) as server:
        _, _, warned = rate(server)
    assert "is of one family with the therapist" in warned


def test_a_context_that_is_too_small_is_a_status(rate):
    with serving(lambda body, n: completion("", finish="model_length")) as server:
        ratings, *_ = rate(server)
    assert {r["status"] for r in ratings} == {"context"} and len(server.requests) == 16
