"""simulate.py --client FILE.jsonl: recorded clients say their lines again, in every condition."""

import hashlib
import json

import numpy as np
import pytest

from act.dialogue.clients import read_clients
from act.dialogue.profiles import draw_twists, make_profiles
from act.judging.judge import family_of, same_family
from act.records import InputError, Store, check_session, read_jsonl
from act.statistics.clients import crossed, groups_of
from tests.conftest import ROOT
from tests.fake_server import serving
from tests.test_clients import make_scores
from tests.tiny import write_rows

LINES = {"g1": ["I sleep badly.", "Since May.", "It is the boat."], "g2": ["Nothing works."]}


def graded(name="g1", lines=None, **more) -> dict:
    """A row without a profile, of the shape of act/dialogue/corpus/graded.jsonl."""
    turns = [{"client": line, "high": {}, "low": {}} for line in lines or LINES[name]]
    return {"id": name, "turns": turns} | more


def recorded(*turns, condition="sft", profile=None) -> dict:
    """A session record; a turn is (client, status)."""
    profile = profile or make_profiles(1, 0)[0]
    said = []
    for client, status in turns:
        answer = "Hm." if status == "ok" else None
        said.append({"client": client, "thinking": None, "answer": answer, "status": status})
    session = {"id": f"{condition}/{profile['id']}", "condition": condition, "profile": profile}
    session |= {"turns": said, "status": "complete"}
    check_session(session)
    return session


def say(body, n):
    """The fake therapist's words depend on the request alone."""
    return f"So {body['seed'] % 1000}."


def words_at(fake, *more, client="f.jsonl", conditions="instruct"):
    words = ("simulate.py", "--model", f"m@{fake.url}", "--client", client, "--out", "s.jsonl")
    return (*words, "--conditions", conditions, *more)


def held_in(folder) -> dict[str, dict]:
    return {one["id"]: one for one in read_jsonl(folder / "s.jsonl", check_session)}


def clients_of(session) -> list[str]:
    return [turn["client"] for turn in session["turns"]]


def test_rows_of_both_shapes_are_read(tmp_path):
    """A session keeps its profile; of other rows the id is known, and the issue where it is told.
    A last turn in which only the therapist failed has words, one in which the client did has none.
    """
    (p001,) = make_profiles(1, 0)
    rows = [graded("g2"), graded("g1", issue="sleep")]
    rows += [recorded(("One.", "ok"), ("Two.", "format"))]
    rows += [
        recorded(("Me.", "ok"), ("", "error"), profile={"id": "me-1", "archetype": "a person"})
    ]
    rows += [{"turns": [{"client": "Hi."}], "profile": {"id": "x", "age": "30"}, "id": "sft/x"}]
    found = read_clients(write_rows(tmp_path / "f", rows))
    assert {name: client.lines for name, client in found.items()} == {
        "g2": LINES["g2"],
        "g1": LINES["g1"],
        "p001": ["One.", "Two."],
        "me-1": ["Me."],
        "x": ["Hi."],
    }
    assert list(found) == ["g2", "g1", "p001", "me-1", "x"]
    assert [client.profile for client in found.values()] == [
        {"id": "g2", "archetype": "replayed"},
        {"id": "g1", "archetype": "replayed", "issue": "sleep"},
        p001,
        {"id": "me-1", "archetype": "a person"},
        {"id": "x", "archetype": "replayed", "age": "30"},
    ]


def test_the_bundled_clients_can_be_replayed():
    """8 graded clients of 6 turns; 16 sessions of 12, with their profiles."""
    corpus = ROOT / "act/dialogue/corpus"
    found = read_clients(corpus / "graded.jsonl").values()
    assert [len(client.lines) for client in found] == [6] * 8
    assert all(client.profile["issue"] for client in found)
    found = read_clients(corpus / "sessions.jsonl")
    assert [len(client.lines) for client in found.values()] == [12] * 16
    for session in read_jsonl(corpus / "sessions.jsonl"):
        assert found[session["profile"]["id"]].profile == session["profile"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"turns": [{"client": "Hi."}]}, '"id" is missing'),
        ({"id": 7, "turns": [{"client": "Hi."}]}, '"id" is int, not str'),
        ({"id": "a", "turns": [{"client": "Hi."}], "profile": "p001"}, '"profile" is not an obj'),
        ({"id": "a"}, '"turns" is missing'),
        ({"id": "a", "turns": []}, "the client says nothing in it; leave the line out"),
        ({"id": "a", "turns": ["Hi."]}, "turn 1 is not an object"),
        ({"id": "a", "turns": [{"client": "Hi."}, {"answer": "Hm."}]}, 'turn 2 has no "client"'),
        ({"id": "a", "turns": [{"client": None}]}, 'turn 1 has no "client" with the client\'s wor'),
        ({"id": "a", "turns": [{"client": " \n"}, {"client": "Hi."}]}, 'turn 1: "client" is empty'),
        ({"id": "a", "turns": [{"client": "Hi."}, {"client": ""}]}, 'turn 2: "client" is empty'),
        (recorded(("", "error")), "the client says nothing in it; leave the line out"),
        (
            {"id": "a", "turns": [{"client": "", "status": "error"}, {"client": "Hi."}]},
            'turn 1: "client" is empty',
        ),
    ],
)
def test_a_bad_row_is_refused_by_file_and_line_before_a_model_is_opened(
    refused, tmp_path, row, said
):
    write_rows(tmp_path / "f.jsonl", [graded(), row])
    with serving(say) as fake:
        assert f"error: f.jsonl:2: {said}" in refused(*words_at(fake))
        assert not fake.requests
    assert not (tmp_path / "s.jsonl").exists()


def test_files_without_clients_are_refused(refused, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with serving(say) as fake:
        assert "empty.jsonl: no records" in refused(*words_at(fake, client="empty.jsonl"))
        assert "gone.jsonl: no such file" in refused(*words_at(fake, client="gone.jsonl"))


@pytest.mark.parametrize("order", [1, -1])
def test_of_rows_that_say_the_same_the_longest_is_taken(tmp_path, order):
    """The first ended early, in another condition: the client said no other words there."""
    rows = [recorded(("One.", "context"))]
    rows += [recorded(("One.", "ok"), ("Two.", "ok"), condition="orpo")]
    (client,) = read_clients(write_rows(tmp_path / "f", rows[::order])).values()
    assert client.lines == ["One.", "Two."]
    rows = rows[::order] + [recorded(("One.", "ok"), ("2.", "ok"), condition="instruct")]
    longest = {1: 2, -1: 1}[order]  # its line
    said = f"f:3: client p001 says other words than in .*f:{longest}; keep the sessions of one cond"
    with pytest.raises(InputError, match=said):
        read_clients(write_rows(tmp_path / "f", rows))


def test_the_same_words_are_said_in_every_condition_and_nobody_is_asked_for_them(run, tmp_path):
    """18 turns of p001, of whom a model's client would get a hidden note on some; g2 has one line,
    and --turns cuts nobody short but p001, by one."""
    (p001,) = make_profiles(1, 0)
    lines = [f"Line {i}." for i in range(1, 20)]
    assert draw_twists(0, "p001", 18)
    rows = [recorded(*[(line, "ok") for line in lines], profile=p001), graded("g2")]
    write_rows(tmp_path / "f.jsonl", rows)
    with serving(say) as fake:
        said = run(*words_at(fake, "--turns", 18, conditions="instruct,sft,orpo"))
        assert "6 sessions in s.jsonl: 6 complete" in said
        assert len(fake.requests) == 3 * (18 + 1)
        last = max(fake.requests, key=lambda request: len(request["body"]["messages"]))
    heard = [m["content"] for m in last["body"]["messages"] if m["role"] == "user"]
    assert heard == lines[:18]
    sessions = held_in(tmp_path)
    fingerprint = hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:12]
    for condition in ("instruct", "sft", "orpo"):
        long, short = sessions[f"{condition}/p001"], sessions[f"{condition}/g2"]
        assert clients_of(long) == lines[:18] and clients_of(short) == LINES["g2"]
        assert long["profile"] == p001 and short["profile"]["archetype"] == "replayed"
        assert long["client_words"] == fingerprint  # of all lines, however many are said
        for session in (long, short):
            assert {turn["note"] for turn in session["turns"]} == {None}
            assert session["models"]["client"] == "replayed"
    answers = [[turn["answer"] for turn in sessions[f"{c}/p001"]["turns"]] for c in ("sft", "orpo")]
    assert answers[0] != answers[1]


@pytest.mark.slow
def test_a_local_therapist_answers_and_its_sessions_make_pairs(run, tmp_path, folder):
    """A CoT condition beside one without; the sessions can be replayed, and give pairs."""
    write_rows(tmp_path / "f.jsonl", [graded("g1"), graded("g2")])
    words = ("simulate.py", "--model", folder, "--max-new-tokens", 12, "--format", "enforce")
    words += ("--conditions", "instruct,instruct-cot", "--turns", 2)
    assert "4 sessions in s.jsonl: 4 " in run(*words, "--client", "f.jsonl", "--out", "s.jsonl")
    sessions = held_in(tmp_path)
    for condition in ("instruct", "instruct-cot"):
        said = sessions[f"{condition}/g1"]
        assert clients_of(said) == LINES["g1"][: len(said["turns"])]
        assert clients_of(sessions[f"{condition}/g2"]) == LINES["g2"]
    (tmp_path / "two.jsonl").write_text((tmp_path / "s.jsonl").read_text())
    assert "2 sessions" in run(
        *words, "--client", "two.jsonl", "--out", "again.jsonl", "--conditions", "instruct"
    )
    again = {one["id"]: one for one in read_jsonl(tmp_path / "again.jsonl")}
    for name in ("g1", "g2"):
        first, second = sessions[f"instruct/{name}"], again[f"instruct/{name}"]
        assert first["turns"] == second["turns"] and first["profile"] == second["profile"]
    pairs = ("generate.py", "pairs", "--sessions", "again.jsonl", "--chosen", "transcript")
    finished = sum(turn["status"] == "ok" for one in again.values() for turn in one["turns"])
    assert f"{finished} pairs" in run(
        *pairs, "--rejected", folder, "--max-new-tokens", 12, "--out", "d.jsonl"
    )


def test_ids_pick_who_is_replayed(run, refused, tmp_path):
    write_rows(tmp_path / "f.jsonl", [graded("g1"), graded("g2")])
    write_rows(tmp_path / "p.jsonl", [{"id": "g2"}])
    with serving(say) as fake:
        assert "1 session in" in run(*words_at(fake, "--profiles", "p.jsonl"))
        assert held_in(tmp_path).keys() == {"instruct/g2"}
        assert "2 sessions" in run(*words_at(fake))
        write_rows(tmp_path / "p.jsonl", [{"id": "g2"}, {"id": "g3"}])
        said = refused(*words_at(fake, "--profiles", "p.jsonl"))
        assert "p.jsonl: client g3 is not in f.jsonl" in said
        write_rows(tmp_path / "p.jsonl", [{"id": "g2"}, {"id": "g1"}, {"id": "g2"}])
        said = refused(*words_at(fake, "--profiles", "p.jsonl", conditions="sft"))
        assert "p.jsonl:3: a second record with id g2" in said
        (tmp_path / "p.jsonl").write_text("")
        assert "p.jsonl: no records" in refused(*words_at(fake, "--profiles", "p.jsonl"))
        assert len(fake.requests) == 1 + 3


def test_other_words_and_other_settings_are_not_mixed(run, refused, tmp_path):
    """Started again, nothing is asked; the same clients must say the same."""
    write_rows(tmp_path / "f.jsonl", [graded("g1"), graded("g2")])
    changed = graded("g1", [*LINES["g1"][:2], "It is the car."])
    write_rows(tmp_path / "changed.jsonl", [changed, graded("g3", ["Hm."])])
    with serving(say) as fake:
        run(*words_at(fake))
        asked = len(fake.requests)
        assert "2 sessions" in run(*words_at(fake)) and len(fake.requests) == asked == 4
        for more in (("--conditions", "instruct,sft"), ("--conditions", "sft")):
            said = refused(*words_at(fake, *more, client="changed.jsonl"))
            assert "s.jsonl: instruct/g1 was made with client_words " in said
        said = refused(*words_at(fake, "--conditions", "sft", "--turns", 2))
        assert "instruct/g1 has 3 turns, not 2" in said
        said = refused(*words_at(fake, "--conditions", "sft", "--temperature", 0.5))
        assert "was made with sampling" in said
        write_rows(tmp_path / "p.jsonl", make_profiles(1, 0))
        played = words_at(fake, "--profiles", "p.jsonl", client=f"m@{fake.url}")
        assert "was made with models" in refused(*played)
        assert len(fake.requests) == asked


def test_clients_of_another_file_may_be_added(run, refused, tmp_path):
    """Of those that are there nothing says here what else they had to say; all else must agree."""
    write_rows(tmp_path / "f.jsonl", [graded("g1"), graded("g2")])
    write_rows(tmp_path / "more.jsonl", [graded("g3", ["Hm."])])
    with serving(say) as fake:
        run(*words_at(fake, "--turns", 2))
        more = words_at(fake, client="more.jsonl")
        assert "instruct/g1 has 2 turns, not 1" in refused(*more, "--turns", 1)
        assert "was made with sampling" in refused(*more, "--temperature", 0.5)
        assert "3 sessions" in run(*more, "--turns", 2) and len(fake.requests) == 4


def test_turns_are_the_held_sessions_own_or_all_that_its_client_has(run, refused, tmp_path):
    """One rule, whether the client of a held session stands in the file or not: g1 has three lines,
    g2 one. Cut at two, g1's session is of --turns 2 alone; with all it fits any number from 3."""
    write_rows(tmp_path / "f.jsonl", [graded("g1"), graded("g2")])
    write_rows(tmp_path / "more.jsonl", [graded("g3", ["Hm."])])
    both = ("f.jsonl", "more.jsonl")
    with serving(say) as fake:
        run(*words_at(fake, "--turns", 2))
        for client in both:
            for turns, now in ((25, 25 if client == "more.jsonl" else 3), (1, 1)):
                said = refused(*words_at(fake, "--turns", turns, client=client))
                assert f"instruct/g1 has 2 turns, not {now}; name another --out" in said
        (tmp_path / "s.jsonl").unlink()
        run(*words_at(fake, "--turns", 3))
        asked = len(fake.requests)
        for client in both:
            said = refused(*words_at(fake, "--turns", 2, client=client))
            assert "instruct/g1 has 3 turns, not 2" in said
        assert len(fake.requests) == asked
        assert "2 sessions" in run(*words_at(fake, "--turns", 25))
        assert "3 sessions" in run(*words_at(fake, "--turns", 25, client="more.jsonl"))


def test_a_session_begun_goes_on_with_the_same_words_only(run, monkeypatch, capsys, tmp_path):
    """Dies as the only session, of three turns, would be stored; the journal has its turns."""
    append = Store.append

    def die(store, record):
        if "turns" in record:
            raise InputError("died")
        append(store, record)

    def stopped(*words) -> str:
        """The error behind the progress bar."""
        with pytest.raises(SystemExit):
            run(*words)
        return capsys.readouterr().err.splitlines()[-1]

    rows = {"f": [graded()], "changed": [graded(lines=["I sleep badly.", "Since June."])]}
    for name in rows:
        write_rows(tmp_path / f"{name}.jsonl", rows[name])
    with serving(say) as fake:
        run(*words_at(fake))
        whole = held_in(tmp_path)
        (tmp_path / "s.jsonl").unlink()
        monkeypatch.setattr(Store, "append", die)
        assert "died" in stopped(*words_at(fake))
        monkeypatch.setattr(Store, "append", append)
        assert len(fake.requests) == 6
        said = stopped(*words_at(fake, client="changed.jsonl"))
        assert "s.jsonl.part: instruct/g1 was made with client_words" in said
        assert "finish it with the same command, or delete the file" in said
        said = stopped(*words_at(fake, "--turns", 2))
        assert "instruct/g1 has 3 turns already, more than --turns 2" in said
        run(*words_at(fake))
        assert held_in(tmp_path) == whole and len(fake.requests) == 6
        assert not (tmp_path / "s.jsonl.part").exists()


def test_a_replayed_client_is_of_no_models_family():
    session = {"models": {"therapist": "models/smollm2", "client": "replayed"}}
    assert family_of("replayed") == "replayed"
    assert same_family("smollm2@http://x/v1", [session]) == ["therapist"]


def test_the_report_says_that_replayed_clients_are_of_one_kind():
    """Their archetype makes no groups, and the model of archetypes says why it has no tests."""
    scores, _ = make_scores()
    found = crossed(scores, "tes_mean", np.full(len(scores.profile), "replayed"))
    assert found["refused"] == 'all clients are of one archetype, "replayed"'
    sessions = [
        {"profile": {"id": f"g{i}", "archetype": "replayed", "issue": issue}}
        for i, issue in enumerate(("sleep", "grief", "grief"))
    ]
    assert groups_of(sessions) == {"issue": {"grief": {"g1", "g2"}, "sleep": {"g0"}}}
