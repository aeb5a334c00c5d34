"""Two judges are never taken for one, failures are asked for again, and what a user got wrong is
one line."""

import json
import shutil
from types import SimpleNamespace

import pytest

import judge as judge_script
from act.cli import run_script
from act.dialogue import endpoint
from act.forms import FORMS
from act.judging import check
from act.judging.judge import WHOLE_FORMS, Text, same_family, wording_digest
from act.records import Store, check_rating, read_jsonl
from tests.fake_server import completion, serving, status
from tests.made_ratings import make_session, write
from tests.test_served_judge import RATED, as_json

SECRET = "sk-SECRET-1f2e3d"


@pytest.fixture
def judge(tmp_path, monkeypatch, capsys):
    """judge("rate", ...) runs judge.py in this process and an empty folder; returns (stdout,
    stderr)."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "s.jsonl", [make_session("sft", 0), make_session("orpo", 1)])

    def run(*words):
        monkeypatch.setattr("sys.argv", ["judge.py", *map(str, words)])
        capsys.readouterr()
        run_script(judge_script.main)
        return capsys.readouterr()

    return run


@pytest.fixture
def wording(tmp_path):
    texts = {
        form.name: [f"other words {'abcdefghijklmnopqrstuvwxy'[i]}" for i in range(len(form.items))]
        for form in FORMS
    }
    (tmp_path / "official.json").write_text(json.dumps(texts))
    return "official.json"


RATE = ("rate", "--sessions", "s.jsonl", "--out", "r.jsonl", "--judge")


def test_ratings_of_other_settings_are_not_taken_for_these(judge, refused, wording):
    with serving(lambda body, n: as_json(RATED)) as server:
        spec = f"m@{server.url}"
        judge(*RATE, spec)
        kept = list(read_jsonl("r.jsonl", check_rating))
        digest = wording_digest(FORMS, WHOLE_FORMS)
        settings = {"endpoint": "m", "wording": digest, "temperature": 0.0, "seed": 0}
        assert [r["judge"] for r in kept] == [settings | {"served": {}}] * 2
        warmer = "r.jsonl was made with temperature 0.0, not 0.7; choose another --out"
        for flags, said in (
            (("--temperature", 0.7), warmer),
            (("--seed", 1), "seed 0, not 1"),
            (("--form", wording), f"wording {digest}, not "),
        ):
            assert said in refused("judge.py", *RATE, spec, *flags)
        judge(*RATE, spec, "--attempts", 5, "--concurrency", 2)  # these decide nothing
        with serving(lambda body, n: as_json(RATED)) as other:
            judge(*RATE, f"m@{other.url}")  # the same judge, wherever it is served
            twice = refused("judge.py", *RATE, spec, f"m@{other.url}")
            assert 'two judges would both rate as "m"' in twice
            assert not other.requests
        judge(*RATE, f"n@{server.url}", "--temperature", 0.7)  # of another name
    assert len(list(read_jsonl("r.jsonl"))) == 4 and len(server.requests) == 4
    older = [r | {"judge": r["judge"] | {"endpoint": "m@http://old:9/v1"}} for r in kept[:1]]
    write(judge_script.Path("r.jsonl"), older)  # with an address
    with serving(lambda body, n: as_json(RATED)) as server:
        spec = f"m@{server.url}"
        assert "2 ratings in r.jsonl" in judge(*RATE, spec).out and len(server.requests) == 1
    older[0]["judge"]["endpoint"] = "n@http://old:9/v1"
    write(judge_script.Path("r.jsonl"), older)
    assert "made with endpoint n, not m;" in refused("judge.py", *RATE, spec)
    write(
        judge_script.Path("r.jsonl"), [{k: v for k, v in r.items() if k != "judge"} for r in kept]
    )
    assert "made with endpoint unknown, not m;" in refused("judge.py", *RATE, spec)


def test_local_judges_are_told_apart_by_their_weights(judge, refused, folder, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(folder, tmp_path / name / "tiny")
    weights = tmp_path / "b/tiny/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(content)
    judge(*RATE, "a/tiny")
    assert "weights " in refused("judge.py", *RATE, "b/tiny")
    assert "long refuse, not last" in refused("judge.py", *RATE, "a/tiny", "--long", "last")
    (tmp_path / "a/tiny").rename(tmp_path / "a/moved")
    (tmp_path / "c").mkdir()
    (tmp_path / "a/moved").rename(tmp_path / "c/tiny")
    assert "2 ratings in r.jsonl" in judge(*RATE, "c/tiny").out  # the same model in another place


@pytest.mark.parametrize(("finish", "calls"), [("error", 1 + 8), ("tool_calls", 1 + 2)])
def test_no_reply_is_not_stored_and_asked_for_again(judge, finish, calls, monkeypatch, capsys):
    """A finish that is no end, of the server's or the model's making: nothing of it stays; the
    same command mends it. Exit status 1, and the last line says so."""
    fails = [True]

    def say(body, n):
        first = "I feel low." in body["messages"][-1]["content"]
        fault = first and fails[0] and n > 1
        return completion("", finish=finish) if fault else as_json(RATED)

    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.001)
    with serving(say) as server:
        words = (*RATE, f"m@{server.url}", "--attempts", 2, "--concurrency", 1)
        with pytest.raises(SystemExit) as stop:
            judge(*words)
        out, err = capsys.readouterr()
        assert stop.value.code == 1 and "1 ratings in r.jsonl, 0 of them without forms" in out
        last = "1 of 2 ratings not finished; the same command goes on"
        assert err.splitlines()[-1] == last and len(server.requests) == calls
        fails[0] = False
        assert "not finished" not in judge(*words).err
    ratings = list(read_jsonl("r.jsonl", check_rating))
    assert [r["status"] for r in ratings] == ["ok", "ok"] and len(
        {r["session"] for r in ratings}
    ) == 2


def test_a_check_of_which_texts_had_no_reply_says_so_and_goes_on(judge, monkeypatch, capsys):
    """Both replies to one client: 2 of 68 texts. What it writes counts them as unrated, until the
    same command has asked for them again."""
    client, fails = next(read_jsonl(check.EXCERPTS))["client"], [True]

    def say(body, n):
        fault = fails[0] and client in body["messages"][-1]["content"]
        return completion("", finish="tool_calls") if fault else as_json(RATED)

    with serving(say) as server:
        words = ("check", "--judge", f"m@{server.url}", "--attempts", 1, "--out", "c.json")
        for short in (("--short",), ("--short", "--concurrency", 2)):
            with pytest.raises(SystemExit) as stop:
                judge(*words, *short)
            last = capsys.readouterr().err.splitlines()[-1]
            assert stop.value.code == 1
            assert last == "2 of 68 texts not finished; the same command goes on"
            assert json.loads(judge_script.Path("c.json").read_text())["unrated"] == 2
        assert len(server.requests) == 68 + 2
        with pytest.raises(SystemExit) as stop:  # only to be seen
            judge(*words[:5], "--short")
        assert stop.value.code == 1
        fails[0] = False
        assert "not finished" not in judge(*words, "--short").err
    result = json.loads(judge_script.Path("c.json").read_text())
    assert result["unrated"] == 0 and "unanswered" not in result


BY_FILTER = [
    completion("", finish="content_filter"),
    status(400, {"error": {"code": "content_filter", "message": "the prompt triggered it"}}),
]


@pytest.mark.parametrize("by_filter", BY_FILTER)
def test_a_refusal_is_final_stored_and_counted(judge, by_filter):
    """By the model, in OpenAI's field, or by a filter, in a finish or in HTTP's 400: it is asked
    once, and would say the same."""
    calls = []

    def say(body, n):
        if "Fill in both forms" not in body["messages"][-1]["content"]:
            return "Good day."
        calls.append(body)
        if "I feel low." in body["messages"][-1]["content"]:
            return by_filter
        reply = completion(None)
        reply["choices"][0]["message"]["refusal"] = "I cannot rate this."
        return reply

    with serving(say) as server:
        words = (*RATE, f"m@{server.url}", "--attempts", 2)
        assert "2 ratings in r.jsonl, 2 of them without forms" in judge(*words).out
        judge(*words)
    assert len(calls) == 2
    for record in read_jsonl("r.jsonl", check_rating):
        assert (record["status"], record["act_fm"], record["attempts"]) == ("refused", None, 1)
        assert record["refusals"] == ["the model or its provider declined"]


def test_a_session_with_other_words_is_not_taken_for_the_one_that_was_rated(judge, refused):
    with serving(lambda body, n: as_json(RATED)) as server:
        words = (*RATE, f"m@{server.url}")
        judge(*words)
        sessions = list(read_jsonl("s.jsonl"))
        sessions[1]["turns"][0]["answer"] += " Really."
        write(judge_script.Path("s.jsonl"), sessions)
        said = refused("judge.py", *words)
        assert (
            f"{sessions[1]['id']} had other words when it was rated" in said
            and len(server.requests) == 2
        )


def check_file(path, **more):
    found = {"judge": "m", "settings": {}, "verdict": {"line": "m tells known groups apart."}}
    path.write_text(json.dumps(found | {"items": []} | more))
    return path.name


def test_a_check_is_repeated_for_its_own_judge_alone(judge, refused, tmp_path):
    with serving(lambda body, n: as_json(RATED)) as server:
        spec = f"m@{server.url}"
        settings = {"endpoint": "m@http://old:9/v1"}  # served elsewhere, then
        settings |= {"wording": wording_digest(FORMS, WHOLE_FORMS)}
        settings |= {"temperature": 0.0, "seed": 7}
        mine = check_file(tmp_path / "mine.json", settings=settings)
        lines = judge(*RATE, spec, f"n@{server.url}", "--check", mine).out.splitlines()
        assert lines[:2] == [
            "m tells known groups apart.",
            "n is not checked here: `judge.py check`, then --check.",
        ]
        warmer = check_file(tmp_path / "warmer.json", settings=settings | {"temperature": 1.0})
        foreign = check_file(tmp_path / "foreign.json", judge="gpt")
        words = ("judge.py", *RATE, spec, "--check")
        said = refused(*words, warmer)
        assert "the check of m was made with temperature 1.0, not 0.0; check it as it rates" in said
        assert 'a check of "gpt", not of m' in refused(*words, foreign)
        assert 'a second check of "m"' in refused(*words, mine, mine)
        (tmp_path / "odd.json").write_text('{"verdict": "fine"}')
        assert "not a file that `judge.py check` wrote" in refused(*words, "odd.json")


def test_a_key_in_an_address_is_printed_nowhere(judge, refused, tmp_path):
    session = make_session("sft", 0) | {"models": {"therapist": "gpt-4o@https://api.openai.com/v1"}}
    write(tmp_path / "s.jsonl", [session])
    said = refused(
        "judge.py", *RATE, f"gpt-4@https://user:{SECRET}@127.0.0.1:9/v1"
    )  # one line: no warning before it
    assert "a key belongs in an environment variable" in said and SECRET not in said
    with serving(lambda body, n: as_json(RATED)) as server:
        warned = judge(*RATE, f"gpt-4@{server.url}").err
    assert "gpt-4 is of one family with the therapist" in warned and server.url not in warned


@pytest.mark.parametrize(
    "models", [None, "gpt", ["gpt"], {"therapist": None, "client": {"name": "gpt"}}, {"client": 4}]
)
def test_sessions_that_say_nothing_of_their_models(models):
    assert same_family("gpt-5@https://x/v1", [{"models": models}, {}]) == []


def test_files_that_cannot_be_read_or_written_are_one_line_before_anybody_is_asked(
    judge, refused, tmp_path
):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text("{")
    write(tmp_path / "s.jsonl", [make_session("sft", 0) | {"models": {"therapist": "broken"}}])
    with serving(lambda body, n: as_json(RATED)) as server:
        assert "broken/config.json: not valid JSON" in refused("judge.py", *RATE, f"m@{server.url}")
        (tmp_path / "a file").write_text("")
        (tmp_path / "folder.json").mkdir()
        check = ("judge.py", "check", "--judge", f"m@{server.url}", "--out")
        assert "a file" in refused(*check, "a file/c.json")
        assert "folder.json: Is a directory" in refused(*check, "folder.json")
        assert not server.requests
        judge(*check[1:], "new/c.json")
        asked, probed = len(server.requests), len(server.probes)
        result = (tmp_path / "new/c.json").read_text()
        judge(*check[1:], "new/c.json")
        assert asked == len(server.requests) == 296  # the judgements were kept
        assert probed == len(server.probes) == 1
        assert (tmp_path / "new/c.json").read_text() == result
        assert "temperature 0.0, not 1.0" in refused(*check, "new/c.json", "--temperature", 1)


def test_a_check_goes_on_with_the_settings_of_now_and_what_the_server_took(tmp_path):
    """Of what is kept a judge takes "served" alone: the rest of an older record is not its own."""
    text = Text(("p1", "shows"), [("It hurts.", "What hurts?")])
    served = {"seed": "none"}
    held = {"endpoint": "m@http://old:9/v1", "seed": 0, "note": "old", "served": served}
    judgement = {"status": "ok", "ratings": RATED}
    row = {"id": text.id, "judge": held, "judgement": judgement}
    write(tmp_path / "kept.jsonl", [row])
    judge = SimpleNamespace(name="m", settings={"endpoint": "m", "seed": 0}, rate=lambda texts: [])
    with Store(tmp_path / "kept.jsonl", lambda record: None) as store:
        (found,) = check.ask(judge, [text], store)
    assert found.ratings == RATED
    assert judge.settings == {"endpoint": "m", "seed": 0, "served": served}


def test_examples_of_another_wording_or_kind_are_not_mixed(judge, refused, wording, tmp_path):
    human = {"session": "sft/p00", "condition": "sft", "profile": "p00", "rater": "anna"}
    human |= {"replicate": 0, "act_fm": RATED[:25], "tes": RATED[25:], "status": "ok"}
    write(tmp_path / "h.jsonl", [human | {"attempts": 1}])
    words = ("tune-data", "--sessions", "s.jsonl", "--human", "h.jsonl", "--out", "d.jsonl")
    write(
        tmp_path / "other.jsonl", [r | {"wording": "official.json"} for r in read_jsonl("h.jsonl")]
    )
    other = ("tune-data", "--sessions", "s.jsonl", "--human", "other.jsonl", "--out", "o.jsonl")
    said = refused("judge.py", *other)
    assert "sft/p00, anna: rated in the wording official.json, not paraphrase; see --form" in said
    assert "34 examples" in judge(*other, "--form", wording).out
    write(tmp_path / "judge.jsonl", [human | {"wording": "x"}])
    both = judge("agree", "--human", "other.jsonl", "--judge", "judge.jsonl", "--resamples", 2)
    assert "warning: ratings of items in different wordings: official.json, x" in both.err
    assert "34 examples" in judge(*words).out == judge(*words).out
    assert "wording " in refused("judge.py", *words, "--form", wording)
    assert "target slots, not form" in refused("judge.py", *words, "--target", "form")
