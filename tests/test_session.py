"""The session loop with scripted speakers: what each sees, which statuses end a session, what may
enter it."""

import json
from collections import Counter

import pytest

from act.audit.style import count_conduct, describe
from act.dialogue.chat import ChatModel, Reply, hold_talks
from act.dialogue.clients import Client
from act.dialogue.endpoint import Endpoint
from act.dialogue.journal import Journal, check_made_with
from act.dialogue.profiles import draw_twists, make_profiles
from act.dialogue.prompts import TEXTS, cot_reply, supervisor_prompt, therapist_prompt
from act.dialogue.session import Session, hold_sessions, seed_from
from act.model.sampler import Sampling
from act.records import InputError, Store, check_session, read_jsonl


class Scripted(ChatModel):
    """A ChatModel that answers with `say(ask, n)`, where n counts the asks of the conversation from
    1."""

    name = "scripted"
    adapter, context, template = None, 512, None
    sampling = Sampling(1.0, 1.0, 50)

    def __init__(self, say, remote=False):
        self.say, self.remote = say, remote
        self.asks, self.batches, self.waiting, self.forgotten = [], [], [], []

    @property
    def busy(self):
        return len(self.waiting)

    def start(self, asks):
        self.waiting += asks

    def step(self, wait=0):
        replies = []
        self.batches.append(len(self.waiting))
        for ask in self.waiting:
            self.asks.append(ask)
            said = self.say(ask, sum(a.key == ask.key for a in self.asks))
            replies.append((ask.key, said if isinstance(said, Reply) else Reply(said, "ok", 10, 5)))
        self.waiting = []
        return replies

    def forget(self, key):
        self.forgotten.append(key)


def hold(
    therapist,
    client,
    turns=3,
    condition="sft",
    n=1,
    form="observe",
    seed=0,
    supervisor=None,
    batch=9,
):
    speakers = {"therapist": Scripted(therapist), "client": Scripted(client)}
    if supervisor:
        speakers["supervisor"] = Scripted(supervisor)
    held = [
        Session(condition, Client(profile), speakers, form, seed, turns)
        for profile in make_profiles(n, 0)
    ]
    hold_talks((session.hold(lambda *turn: None) for session in held), batch)
    sessions = [session.record for session in held]
    for session in sessions:
        check_session(session)
    assert sorted(speakers["therapist"].forgotten) == sorted(session["id"] for session in sessions)
    return sessions, speakers


def test_both_see_the_history_of_answers_only():
    (session,), speakers = hold(
        lambda ask, n: cot_reply(f"secret {n}", f"answer {n}"),
        lambda ask, n: f"words {n}",
        condition="sft-cot",
    )
    therapist, client = speakers["therapist"], speakers["client"]
    last = therapist.asks[-1].messages
    assert last[0] == {"role": "system", "content": therapist_prompt(True)}
    said = ["words 1", "answer 1", "words 2", "answer 2"]
    assert [m["content"] for m in last[1:]] == [*said, "words 3"]
    heard = [m["content"] for m in client.asks[-1].messages[1:]]
    assert heard == [TEXTS["client_opening"], *said]
    assert [turn["thinking"] for turn in session["turns"]] == ["secret 1", "secret 2", "secret 3"]
    assert not any(
        "secret" in m["content"] for ask in therapist.asks + client.asks for m in ask.messages
    )


def test_sessions_side_by_side_are_asked_together_and_the_next_one_takes_a_free_place():
    """7 sessions of 2 turns, 3 side by side, the second broken at its first turn: each batch is as
    full as can be."""
    sessions, speakers = hold(
        lambda ask, n: Reply("", "error") if ask.key == "sft/p002" else "fine",
        lambda ask, n: "hi",
        2,
        n=7,
        batch=3,
    )
    assert [s["status"] for s in sessions] == ["complete", "error"] + ["complete"] * 5
    assert speakers["client"].batches == speakers["therapist"].batches == [3, 3, 3, 3, 1]


def test_an_endpoint_client_is_asked_while_the_therapist_works():
    """A local therapist takes what has come in; nobody waits for the slowest."""
    speakers = {
        "therapist": Scripted(lambda ask, n: "fine"),
        "client": Scripted(lambda ask, n: "hi", remote=True),
    }
    held = [
        Session("sft", Client(profile), speakers, "observe", 0, 3)
        for profile in make_profiles(5, 0)
    ]
    hold_talks((session.hold(lambda *turn: None) for session in held), 5)
    sessions = [session.record for session in held]
    assert all(s["status"] == "complete" and len(s["turns"]) == 3 for s in sessions)
    assert Counter(ask.key for ask in speakers["therapist"].asks) == {s["id"]: 3 for s in sessions}


def test_trap_18_a_reply_out_of_form_is_asked_for_once_more_then_ends_the_session():
    (session,), speakers = hold(
        lambda ask, n: "no labels", lambda ask, n: "hello", condition="sft-cot"
    )
    first, second = speakers["therapist"].asks
    assert first.seed != second.seed
    (turn,) = session["turns"]
    assert session["status"] == "format" and turn["out_of_form"] == 2
    assert turn["answer"] is None and "no labels" not in str(session)


def test_trap_18_the_second_try_counts():
    def second_time(ask, n):
        return "no labels" if n == 1 else cot_reply("t", "a")

    (session,), _ = hold(second_time, lambda ask, n: "hello", turns=2, condition="sft-cot")
    assert session["status"] == "complete"
    assert [t["status"] for t in session["turns"]] == ["ok", "ok"]
    assert [t.get("out_of_form") for t in session["turns"]] == [1, None]
    assert count_conduct([session])["out_of_form"] == 1
    assert "replies out of form 1" in describe([session])


def test_errors_and_full_contexts_end_a_session_and_never_enter_it():
    for status in ("error", "context"):
        fault = Reply("" if status == "context" else "HTTP 500 at host", status, 10, 0)
        (session,), speakers = hold(
            lambda ask, n, f=fault: f if n == 2 else "fine", lambda ask, n: "hi"
        )
        assert (
            session["status"] == status
            and len(session["turns"]) == 2
            and len(speakers["client"].asks) == 2
        )
        assert session["turns"][1]["answer"] is None and "HTTP" not in str(session)


def test_a_client_that_fails_ends_the_session_before_the_therapist_is_asked():
    (session,), speakers = hold(
        lambda ask, n: "fine", lambda ask, n: Reply("HTTP 500", "error", 5, 0) if n == 2 else "hi"
    )
    assert session["status"] == "error" and len(speakers["therapist"].asks) == 1
    assert session["turns"][1]["client"] == "" and "HTTP" not in str(session)


def test_a_cut_off_answer_goes_on_and_is_marked():
    (session,), _ = hold(
        lambda ask, n: Reply("cut o", "length", 9, 50), lambda ask, n: "hi", turns=2
    )
    assert session["status"] == "complete"
    assert [(t["status"], t["response_tokens"]) for t in session["turns"]] == [("length", 50)] * 2


def test_twists_are_equal_in_all_conditions_and_hidden_from_the_therapist():
    def notes(condition):
        (session,), speakers = hold(
            lambda ask, n: "fine", lambda ask, n: "hi", turns=18, condition=condition, seed=0
        )  # fmt: skip
        assert not any(
            "Private note" in m["content"]
            for ask in speakers["therapist"].asks
            for m in ask.messages
        )
        found = {i: turn["note"] for i, turn in enumerate(session["turns"], 1) if turn["note"]}
        for number, note in found.items():
            assert note in speakers["client"].asks[number - 1].messages[-1]["content"]
        return found

    assert notes("sft") == notes("orpo") == draw_twists(0, "p001", 18) != {}


def test_seeds_differ_by_everything_they_are_made_of():
    held = [
        hold(lambda a, n: "x", lambda a, n: "y", turns=2, condition=c, n=2)[1]["therapist"]
        for c in ("sft", "orpo")
    ]
    seeds = [ask.seed for therapist in held for ask in therapist.asks]
    assert len(set(seeds)) == 8
    assert seed_from(0, "sft", "p001") == 6635599874003122185 and seed_from(1, 2) != seed_from(12)


def test_enforcing_the_form_is_asked_for_in_cot_conditions_only():
    for condition, form, wanted in (
        ("sft-cot", "enforce", True),
        ("sft", "enforce", False),
        ("sft-cot", "observe", False),
    ):
        _, speakers = hold(
            lambda a, n: cot_reply("t", "a"), lambda a, n: "y", 1, condition, 1, form
        )
        assert [ask.enforce for ask in speakers["therapist"].asks] == [wanted]


def test_a_supervisor_sends_drafts_back_twice_at_most_and_every_draft_is_kept():
    """The client's first words pass at once; the therapist's are sent back, and again, and then
    stand."""

    def supervise(ask, n):
        therapist = ask.messages[0]["content"] == supervisor_prompt("therapist")
        return f"REVISE: Say less, number {n}." if therapist else "ACCEPT"

    (session,), speakers = hold(
        lambda ask, n: cot_reply(f"thought {n}", f"draft {n}"),
        lambda ask, n: "hello",
        turns=1,
        condition="transcript",
        supervisor=supervise,
    )
    (turn,) = session["turns"]
    assert turn["answer"] == "draft 3" and turn["thinking"] == "thought 3"
    drafts = [cot_reply(f"thought {i}", f"draft {i}") for i in (1, 2, 3)]
    assert turn["drafts"] == [
        {"speaker": "therapist", "text": drafts[i - 1], "feedback": f"Say less, number {i}."}
        for i in (1, 2)
    ]
    assert len(speakers["supervisor"].asks) == 3 and len(speakers["therapist"].asks) == 3
    assert session["models"]["supervisor"] == "scripted"
    # The supervisor sees answers and never thinking; the therapist sees its own draft and the
    # feedback.
    judged = speakers["supervisor"].asks[1].messages[1]["content"]
    assert "Client: hello" in judged and "draft 1" in judged and "thought" not in judged
    again = speakers["therapist"].asks[2].messages
    assert (
        again[-2]["content"] == cot_reply("thought 2", "draft 2")
        and "Say less, number 2." in again[-1]["content"]
    )
    assert len({ask.seed for ask in speakers["therapist"].asks + speakers["supervisor"].asks}) == 6


def test_a_revision_that_fails_leaves_the_draft_standing():
    """The therapist's second and third replies break the form: both tries of the revision."""
    (session,), speakers = hold(
        lambda ask, n: cot_reply("t", "first") if n == 1 else "no labels",
        lambda ask, n: "hi",
        1,
        "transcript",
        supervisor=lambda ask, n: (
            "REVISE: Less." if "first" in ask.messages[1]["content"] else "ACCEPT"
        ),
    )
    (turn,) = session["turns"]
    assert (turn["answer"], turn["status"], session["status"]) == ("first", "ok", "complete")
    assert len(speakers["therapist"].asks) == 3 and len(turn["drafts"]) == 1


@pytest.mark.parametrize(
    "said", ["Nice!", Reply("REVISE: Say", "length"), Reply("", "error"), Reply("", "context")]
)
def test_a_verdict_out_of_form_or_cut_off_leaves_the_draft_standing_marked(said):
    """It is not asked for again: a supervisor is greedy, and would say the same."""
    (session,), speakers = hold(
        lambda ask, n: cot_reply("t", "a"),
        lambda a, n: "hi",
        1,
        "transcript",
        supervisor=lambda a, n: said,
    )
    (turn,) = session["turns"]
    assert turn["unsupervised"] == ["client", "therapist"] and "drafts" not in turn
    assert len(speakers["supervisor"].asks) == 2 and turn["answer"] == "a"


def test_a_supervisors_two_conversations_are_kept_apart():
    """A local one keeps what it has read of each: under one key it would read the other's prompt
    each time."""
    (session,), speakers = hold(
        lambda ask, n: cot_reply("t", f"a{n}"),
        lambda a, n: f"hi {n}",
        3,
        "transcript",
        supervisor=lambda a, n: "ACCEPT",
    )
    prompts = {(ask.key, ask.messages[0]["content"]) for ask in speakers["supervisor"].asks}
    assert prompts == {
        (f"{session['id']} {who}", supervisor_prompt(who)) for who in ("client", "therapist")
    }
    assert sorted(speakers["supervisor"].forgotten) == sorted({key for key, _ in prompts})


def test_trap_19_the_context_policy_and_its_size_are_recorded():
    speakers = {
        "therapist": Scripted(lambda ask, n: "fine"),
        "client": Endpoint("m@http://host/v1", Sampling(1.0, 1.0, 50), 1, 1.0),
    }
    (profile,) = make_profiles(1, 0)
    sampling = Session("sft", Client(profile), speakers, "observe", 0, 1).record["sampling"]
    policy = "the whole history; a prompt that leaves no room for a reply has none"
    # None: the server's own
    assert sampling["context"] == {"policy": policy, "therapist": 512, "client": None}
    assert sampling["history"] == "answers only" and sampling["therapist"]["max_new_tokens"] == 50


def test_what_an_endpoint_returned_is_kept_with_the_turn():
    call = {"model": "m-2026", "fingerprint": "fp", "usage": {"prompt_tokens": 7}, "attempts": 2}
    (session,), _ = hold(
        lambda ask, n: Reply("fine", "ok", 7, 2, call), lambda ask, n: "hi", turns=1
    )
    assert session["turns"][0]["calls"] == [{"role": "therapist"} | call]


class Killed(Exception):
    """Stands for the death of the process."""


def stored(folder, turns, die_at=None, status="ok", batch=2, seed=0, n=3):
    """Hold n sessions into folder/s.jsonl; dies in the therapist's n-th reply. Returns (sessions,
    therapist asks)."""
    said = Counter()

    def therapist(ask, n):
        said["all"] += 1
        if said["all"] == die_at:
            raise Killed
        ends = status != "ok" and "words 2" in ask.messages[-1]["content"]
        return Reply("", status) if ends else f"answer to {ask.messages[-1]['content']}"

    client = Scripted(lambda ask, n: f"words {len(ask.messages) // 2}")
    speakers = {"therapist": Scripted(therapist), "client": client}
    with Store(folder / "s.jsonl", check_session) as store, Journal(store) as journal:
        wanted = [p for p in make_profiles(n, 0) if f"sft/{p['id']}" not in store]
        bar = Counter()
        bar.update = lambda n=1: bar.__setitem__("n", bar["n"] + n)
        how = speakers, "observe", seed, turns
        sessions = [Session("sft", Client(one), *how) for one in wanted]
        hold_sessions(sessions, journal, bar, batch)
    assert bar["n"] == turns * len(wanted)
    sessions = {r["id"]: r for r in map(json.loads, (folder / "s.jsonl").read_text().splitlines())}
    return sessions, speakers["therapist"].asks


def turns_in(folder):
    """How many turns are stored, in whole sessions or in the journal."""
    records = {path.name: list(read_jsonl(path)) for path in folder.glob("s.jsonl*")}
    turns = {
        f"{r['id']}#{i}" for r in records.get("s.jsonl", []) for i in range(1, len(r["turns"]) + 1)
    }
    return len(turns | {record["id"] for record in records.get("s.jsonl.part", [])})


@pytest.mark.parametrize("status", ["ok", "error"])
def test_a_death_at_any_reply_loses_nothing_that_was_finished(tmp_path, status):
    """Then the same command: the sessions are those of a run without a death, and no stored turn is
    asked for again."""
    (tmp_path / "whole").mkdir()
    whole, asks = stored(tmp_path / "whole", 4, status=status)
    all_kept = []
    for die_at in range(1, len(asks) + 1):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        with pytest.raises(Killed):
            stored(folder, 4, die_at, status)
        kept = turns_in(folder)
        all_kept.append(kept)
        sessions, more = stored(folder, 4, status=status)
        assert sessions == whole
        assert len(more) == len(asks) - kept
        assert not (folder / "s.jsonl.part").exists()
    assert (
        all_kept[0] == 0 and sorted(all_kept) == all_kept and all_kept[-1] >= len(asks) - 2
    )  # of two side by side


@pytest.mark.parametrize("status", ["ok", "error"])
def test_a_death_between_a_sessions_last_turn_and_its_record_asks_for_nothing_again(
    tmp_path, monkeypatch, status
):
    append = Store.append

    def die(store, record):
        if "turns" in record:
            raise Killed
        append(store, record)

    monkeypatch.setattr(Store, "append", die)
    with pytest.raises(Killed):
        stored(tmp_path, 4, status=status, n=1)
    monkeypatch.undo()
    assert turns_in(tmp_path) == (4 if status == "ok" else 2)
    (tmp_path / "whole").mkdir()
    sessions, asks = stored(tmp_path, 4, status=status, n=1)
    assert sessions == stored(tmp_path / "whole", 4, status=status, n=1)[0] and not asks
    assert not (tmp_path / "s.jsonl.part").exists()


def test_a_journal_whose_sessions_are_all_whole_is_deleted_and_none_of_it_is_held(tmp_path):
    """A death behind the last session's record, before the journal is gone."""
    with pytest.raises(Killed):
        stored(tmp_path, 4, die_at=4, n=1)
    journal, turns = tmp_path / "s.jsonl.part", (tmp_path / "s.jsonl.part").read_text()
    stored(tmp_path, 4, n=1)
    assert not journal.exists() and turns.count("\n") == 3
    journal.write_text(turns)
    with Store(tmp_path / "s.jsonl", check_session) as store, Journal(store) as opened:
        assert not opened.left
    assert not journal.exists()


def test_a_session_is_not_gone_on_with_under_other_settings(tmp_path):
    with pytest.raises(Killed):
        stored(tmp_path, 4, die_at=3)
    with pytest.raises(
        InputError, match="sft/p001 was made with seed 0, not 1; finish it with the same command"
    ):
        stored(tmp_path, 4, seed=1)
    assert stored(tmp_path, 4, n=1)[0].keys() == {"sft/p001"}  # another command with fewer clients
    assert (tmp_path / "s.jsonl.part").exists()  # still holds what the others had said
    assert stored(tmp_path, 4)[0].keys() == {"sft/p001", "sft/p002", "sft/p003"}


def test_the_command_that_wrote_a_turn_may_go_on_from_it(tmp_path):
    """Begun under other settings and killed before the first turn: nothing binds the next
    command."""
    with pytest.raises(Killed):
        stored(tmp_path, 4, die_at=1, seed=0, n=1)
    with pytest.raises(Killed):
        stored(tmp_path, 4, die_at=3, seed=1, n=1)
    sessions, asks = stored(tmp_path, 4, seed=1, n=1)
    assert sessions["sft/p001"]["seed"] == 1 and len(asks) == 2


def test_a_journal_of_another_kind_is_refused(tmp_path):
    (tmp_path / "s.jsonl.part").write_text('{"id": "sft/p001#1", "turn": {}}\n')
    with pytest.raises(InputError, match='s.jsonl.part:1: "session" is missing'):
        stored(tmp_path, 4)


def held_by(therapist, client="c@http://host/v1", adapter=None):
    models = {"therapist": therapist, "client": client}
    adapters = {"therapist": adapter} if adapter else {}
    return {"id": "x", "models": models, "adapters": adapters, "seed": 0}


SERVED = "m@http://host:8000/v1"


@pytest.mark.parametrize(
    ("held", "new", "same"),
    [
        (held_by(SERVED), held_by("m@http://host:8001/v1"), True),  # the server was started again
        (held_by(SERVED), held_by("n@http://host:8000/v1"), False),
        (held_by("models/a"), held_by("models/b"), False),
        (held_by("a+b", adapter="12"), held_by("a+b", adapter="34"), False),  # retrained
        (held_by("a+b", adapter="12"), held_by("a+c", adapter="12"), True),  # moved
        (held_by("a+b", adapter="12"), held_by("d+b", adapter="12"), False),
        (held_by("a+b"), held_by("a+c"), False),  # two folders with a + in their names
        ({"id": "x"}, held_by("a"), False),
    ],
)
def test_a_model_is_known_by_its_weights_and_a_served_one_by_its_name(held, new, same):
    if same:
        check_made_with("s", held, new)
    else:
        with pytest.raises(InputError, match="^s: x was made with (models|adapters) "):
            check_made_with("s", held, new)
