"""generate.py and simulate.py run again on what is there: nothing mixed, nothing done twice,
nothing left behind."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from act.dialogue.chat import Ask
from act.dialogue.endpoint import Endpoint
from act.dialogue.local import LocalChat, fingerprint, load_base
from act.dialogue.profiles import make_profiles
from act.dialogue.prompts import cot_reply, therapist_prompt
from act.model.adapter import save_adapter
from act.model.checkpoint import load_model
from act.model.lora import attach, lora_layers
from act.model.sampler import Sampling
from act.records import check_pair, check_session, read_jsonl
from tests.fake_server import completion, serving
from tests.inputs import told
from tests.replies import answer_all

N = 2
pytestmark = pytest.mark.slow


@pytest.fixture
def profiles(tmp_path):
    """p.jsonl: two clients; others.jsonl: two more."""
    four = [json.dumps(profile) + "\n" for profile in make_profiles(2 * N, 0)]
    (tmp_path / "p.jsonl").write_text("".join(four[:N]))
    (tmp_path / "others.jsonl").write_text("".join(four[N:]))


def say(body, n):
    words = f"So {body['seed'] % 1000}."
    return (
        cot_reply("Hm.", words)
        if body["messages"][0]["content"] == therapist_prompt(True)
        else words
    )


def sessions_at(fake, *more, profiles="p.jsonl"):
    m = f"m@{fake.url}"
    words = ("generate.py", "sessions", "--profiles", profiles, "--out", "s.jsonl")
    return (*words, "--therapist", m, "--client", m, "--turns", 2, *more)


def simulate_at(fake, *more):
    m = f"m@{fake.url}"
    words = ("simulate.py", "--model", m, "--client", m, "--profiles", "p.jsonl", "--turns", 1)
    return (*words, "--out", "s.jsonl", "--conditions", "instruct", *more)


def pairs_at(fake, *more, chosen="c"):
    words = ("generate.py", "pairs", "--sessions", "s.jsonl", "--chosen", f"{chosen}@{fake.url}")
    return (*words, "--rejected", f"r@{fake.url}", "--cot", "--out", "d.jsonl", *more)


def test_sessions_of_other_clients_are_not_mixed_with_those_of_other_settings(
    run, refused, profiles
):
    with serving(say) as fake:
        run(*sessions_at(fake))
        others = sessions_at(fake, profiles="others.jsonl")
        assert "was made with seed 0, not 1" in refused(*others, "--seed", 1)
        assert "was made with sampling" in refused(*others, "--max-new-tokens", 9)
        assert "has 2 turns, not 3" in refused(*others, "--turns", 3)
        assert f"{2 * N} sessions" in run(*others)


def test_sessions_and_pairs_go_on_at_another_address_of_the_same_model(
    run, refused, profiles, tmp_path
):
    with serving(say) as fake:
        run(*sessions_at(fake))
        run(*pairs_at(fake, "--turns", 1))
    with serving(say) as fake:
        assert f"{2 * N} sessions" in run(*sessions_at(fake, profiles="others.jsonl"))
        assert "was made with models" in refused(*pairs_at(fake, chosen="other"))
        assert f"{4 * N} pairs" in run(*pairs_at(fake))
        (tmp_path / "d.jsonl").rename(tmp_path / "two.jsonl")
        run(*pairs_at(fake))

    one, two = (
        {p["id"]: p for p in read_jsonl(tmp_path / out)} for out in ("d.jsonl", "two.jsonl")
    )
    for key in one.keys() | two.keys():  # drawn with the same seeds
        for answer in ("chosen", "rejected"):
            assert one[key][answer] == two[key][answer]


def test_pairs_say_what_they_were_made_with_and_are_not_mixed(run, refused, profiles, tmp_path):
    with serving(say) as fake:
        run(*sessions_at(fake))
        run(*pairs_at(fake, "--turns", 1, "--seed", 5))
        pair = next(read_jsonl(tmp_path / "d.jsonl", check_pair))
        models = {"chosen": f"c@{fake.url}", "rejected": f"r@{fake.url}"}
        assert pair["models"] == models and pair["seed"] == 5
        sampling = {"temperature": 0.7, "top_p": 0.8, "max_new_tokens": 512}
        assert pair["sampling"]["chosen"] == sampling
        assert pair["sampling"]["format"] == "observe" and pair["adapters"] == {}
        assert pair["draws"] == {"chosen": ["ok"], "rejected": ["ok"]}
        for words, name in (
            (("--seed", 6), "seed"),
            (("--seed", 5, "--chosen", "transcript"), "models"),
            (("--seed", 5, "--max-new-tokens", 99), "sampling"),
        ):
            assert f"was made with {name}" in refused(*pairs_at(fake), *words)


def test_a_chosen_answer_out_of_form_leaves_a_trace(run, profiles, tmp_path):
    met = set()

    def first_out_of_form(body, n):
        answer = body["messages"][-1]["content"]
        if body["model"] != "c" or answer in met:
            return say(body, n)
        met.add(answer)
        return "no labels"

    with serving(first_out_of_form) as fake:
        run(*sessions_at(fake))
        run(*pairs_at(fake))
    draws = [pair["draws"] for pair in read_jsonl(tmp_path / "d.jsonl")]
    assert draws == [{"chosen": ["format", "ok"], "rejected": ["ok"]}] * 2 * N


def test_a_context_without_a_chosen_answer_is_drawn_once_and_no_rejected_one_for_it(
    run, refused, profiles, tmp_path
):
    def never_in_form(body, n):
        return "no labels" if body["model"] == "c" else say(body, n)

    with serving(never_in_form) as fake:
        run(*sessions_at(fake))
        asked = len(fake.requests)
        assert f"0 pairs in d.jsonl\n{2 * N} left out" in run(*pairs_at(fake))
        assert [r["body"]["model"] for r in fake.requests[asked:]] == ["c"] * 3 * 2 * N
        asked = len(fake.requests)
        assert f"{2 * N} left out" in run(*pairs_at(fake)) and len(fake.requests) == asked
        run(*sessions_at(fake, profiles="others.jsonl"))
        assert "was made with seed 0, not 1" in refused(*pairs_at(fake, "--seed", 1))
        (tmp_path / "d.jsonl.left-out").unlink()
        run(*pairs_at(fake))
        assert len(list(read_jsonl(tmp_path / "d.jsonl.left-out"))) == 4 * N
        assert not (tmp_path / "d.jsonl").exists()


def test_trap_27_a_pair_says_which_answer_was_cut(run, refused, profiles, tmp_path):
    """The first context's rejected reply ends at the token limit; others end."""

    def some_cut(body, n):
        rejected = body["model"] == "r" and len(body["messages"]) == 2  # of the first turn
        he = completion("Thinking: He.\n\nAnswer: So", finish="length")
        return he if rejected else say(body, n)

    with serving(some_cut) as fake:
        run(*sessions_at(fake))
        run(*pairs_at(fake))
        # nothing is missing, and still other settings are refused
        for words in (sessions_at, pairs_at):
            assert "was made with seed 0, not 1" in refused(*words(fake, "--seed", 1))
    for pair in read_jsonl(tmp_path / "d.jsonl"):
        first = len(pair["prompt"]) == 2
        assert pair.get("cut") == (["rejected"] if first else None)
    # a file from before pairs said so would be trained with end tokens that nobody wrote
    old = (tmp_path / "d.jsonl").read_text().replace(', "cut": ["rejected"]', "")
    (tmp_path / "d.jsonl").write_text(old)
    assert "was cut, and made before pairs said so" in refused(*pairs_at(fake))


def test_equal_answers_are_drawn_again_and_counted(run, profiles, tmp_path):
    def alike(body, n):
        cot = body["messages"][0]["content"] == therapist_prompt(True)
        reply = cot_reply("Hm.", "Same.") if cot else "Hi."
        return "Other." if body["model"] == "r" and body["seed"] % 2 else reply

    with serving(alike) as fake:
        run(*sessions_at(fake))
        run(*pairs_at(fake, "--max-new-tokens", 20))
    draws = [p["draws"]["rejected"] for p in read_jsonl(tmp_path / "d.jsonl")]
    assert all(d[-1] == "format" and set(d[:-1]) <= {"equal"} for d in draws)
    assert any(len(d) > 1 for d in draws)


@pytest.mark.parametrize("words", [sessions_at, simulate_at])
def test_what_a_death_behind_the_last_record_leaves_is_cleared_away(
    run, profiles, tmp_path, monkeypatch, words
):
    """Killed before the journal's file was removed: then nothing is wanted, no model is opened, and
    it is removed."""

    class Killed(Exception):
        pass

    unlink = Path.unlink

    def die(path, **options):
        if path.name.endswith(".part") and path.stat().st_size:
            raise Killed
        unlink(path, **options)

    with serving(say) as fake:
        monkeypatch.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            run(*words(fake))
        monkeypatch.setattr(Path, "unlink", unlink)
        assert (tmp_path / "s.jsonl.part").exists()
        before, asked = (tmp_path / "s.jsonl").read_bytes(), len(fake.requests)
        assert f"{N} sessions" in run(*words(fake)) and len(fake.requests) == asked
    assert (tmp_path / "s.jsonl").read_bytes() == before
    assert not (tmp_path / "s.jsonl.part").exists()


def test_a_served_therapist_is_opened_once_a_name(run, profiles, tmp_path, monkeypatch):
    opened, begin = [], Endpoint.__init__

    def note(endpoint, spec, *more):
        opened.append(spec)
        begin(endpoint, spec, *more)

    monkeypatch.setattr(Endpoint, "__init__", note)
    with serving(say) as fake:
        run(*simulate_at(fake), "--conditions", "instruct,instruct-cot,sft,sft-cot")
    m, sft, cot = (f"{name}@{fake.url}" for name in ("m", "sft", "sft-cot"))
    assert opened == [m, m, sft, cot]  # the client and three therapists
    held = {s["id"]: s["models"] for s in read_jsonl(tmp_path / "s.jsonl", check_session)}
    assert held["instruct-cot/p001"]["therapist"] == m
    assert held["sft-cot/p002"]["therapist"] == cot


def save_drawn_adapter(folder, where, seed):
    model = load_model(folder)
    torch.manual_seed(seed)
    attach(model, rank=2, alpha=4)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.5)
    save_adapter(model, where, "base", 2, 4)


def test_an_adapter_that_was_trained_again_does_not_go_on_with_the_old_ones_sessions(
    run, refused, profiles, tmp_path, folder
):
    adapter = tmp_path / "adapters/sft"
    save_drawn_adapter(folder, adapter, 1)
    with serving(say) as fake:
        words = partial(simulate_at, fake, "--model", folder, "--adapters", "adapters")
        words = partial(words, "--max-new-tokens", 4, "--concurrency", 1)  # p001 is the first
        run(*words("--conditions", "sft,instruct"))
        first = fingerprint(adapter)
        held = {s["id"]: s for s in read_jsonl(tmp_path / "s.jsonl", check_session)}
        assert held["sft/p001"]["adapters"] == {"therapist": first}
        assert held["instruct/p001"]["adapters"] == {}
        assert held["sft/p001"]["sampling"] == held["instruct/p001"]["sampling"]
        assert held["sft/p001"]["sampling"]["context"]["therapist"] == 512
        more = ("--profiles", "others.jsonl", "--conditions")
        assert f"{3 * N} sessions" in run(*words(*more, "sft"))
        save_drawn_adapter(folder, adapter, 2)
        now = fingerprint(adapter)
        said = f"was made with adapters {{'therapist': '{first}'}}, not {{'therapist': '{now}'}}"
        assert said in refused(*words(*more, "instruct"))
        save_drawn_adapter(folder, adapter, 1)
        config = adapter / "adapter_config.json"
        as_saved = config.read_text()
        config.write_text(json.dumps(json.loads(as_saved) | {"lora_alpha": 5}))
        now, given = fingerprint(adapter), told("Models and adapters")["lora_alpha edited"]
        line = refused(*words(*more, "instruct"))
        given = given.replace("OLD", repr(first)).replace("NEW", repr(now))
        assert line == f"error: {given}"
        config.write_text(as_saved)
        assert f"{4 * N} sessions" in run(*words(*more, "instruct"))


def test_whole_files_are_compared_too_and_no_weights_are_loaded_for_it(
    run, refused, profiles, tmp_path, folder, monkeypatch
):
    """Nothing is missing, and still what was held with other settings is refused."""
    save_drawn_adapter(folder, tmp_path / "adapters/sft", 1)
    first = fingerprint(tmp_path / "adapters/sft")
    with serving(say) as fake:
        words = partial(simulate_at, fake, "--model", folder, "--adapters", "adapters")
        words = partial(words, "--max-new-tokens", 4, "--conditions", "sft,instruct")
        run(*words())
        before, asked = (tmp_path / "s.jsonl").read_bytes(), len(fake.requests)
        for name in ("load_model", "load_adapter"):
            monkeypatch.setattr(f"act.dialogue.local.{name}", None)
        load_base.cache_clear()
        assert f"{2 * N} sessions" in run(*words())
        assert "has 1 turns, not 2; name another --out" in refused(*words("--turns", 2))
        for more, name in (
            (("--temperature", 0.5), "sampling"),
            (("--client-temperature", 0.5), "sampling"),
            (("--seed", 1), "seed"),
            (("--format", "enforce"), "sampling"),
            (("--client", f"other@{fake.url}"), "models"),
            (("--client", folder), "models"),
        ):
            assert f"was made with {name} " in refused(*words(*more))
        save_drawn_adapter(folder, tmp_path / "adapters/sft", 2)
        now = fingerprint(tmp_path / "adapters/sft")
        said = f"was made with adapters {{'therapist': '{first}'}}, not {{'therapist': '{now}'}}"
        assert f"{said}; name another --out" in refused(*words())
        # where the adapter is not at hand, nothing says which it was
        (tmp_path / "adapters/sft").rename(tmp_path / "gone")
        assert f"{2 * N} sessions" in run(*words("--conditions", "instruct"))
        assert (tmp_path / "s.jsonl").read_bytes() == before and len(fake.requests) == asked


def test_a_client_with_an_adapter_is_known_by_it_unloaded(run, refused, profiles, tmp_path, folder):
    save_drawn_adapter(folder, tmp_path / "a", 1)
    with serving(say) as fake:
        words = partial(simulate_at, fake, "--client", f"{folder}+a")
        words = partial(words, "--client-max-new-tokens", 4)
        run(*words())
        assert f"{N} sessions" in run(*words())
        save_drawn_adapter(folder, tmp_path / "a", 2)
        assert "was made with adapters {'client'" in refused(*words())


def test_base_weights_are_loaded_once_and_each_wears_its_own_adapter(tmp_path, folder):
    save_drawn_adapter(folder, tmp_path / "a", 1)
    greedy = Sampling(0, 1, 6)
    with_adapter = f"{folder}+{tmp_path / 'a'}"
    client = LocalChat.load(with_adapter, greedy, "cpu")
    plain, adapted = (
        LocalChat("alone", load_model(spec), client.tokenizer, greedy)
        for spec in (folder, with_adapter)
    )
    therapist = LocalChat.load(folder, greedy, "cpu")
    places = [chat.model.head.data_ptr() for chat in (therapist, client, plain, adapted)]
    assert places[0] == places[1] and len(set(places)) == 3
    assert therapist.tokenizer is client.tokenizer

    def say_hi(chat):
        return answer_all(chat, [Ask("a", [{"role": "user", "content": "Hi."}], 0)])[0].text

    assert say_hi(therapist) == say_hi(plain) != say_hi(adapted) == say_hi(client)
    therapist.wear(tmp_path / "a")
    client.wear(None)
    assert (therapist.name, client.name) == (with_adapter, str(folder))
    assert say_hi(therapist) == say_hi(adapted) and say_hi(client) == say_hi(plain)
