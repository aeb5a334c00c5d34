"""Decoding: distributions, independence of neighbours, the living cache, and the enforced CoT
form."""

import sys
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from scipy.stats import chisquare
from torch.utils._python_dispatch import TorchDispatchMode

from act.cli import warn
from act.dialogue.chat import Ask
from act.dialogue.local import LocalChat
from act.dialogue.prompts import parse_reply
from act.model import kv_cache, sampler
from act.model.kv_cache import KVCache
from act.model.llama import Llama, LlamaConfig
from act.model.sampler import Request, Sampler, Sampling, pick
from act.records import InputError
from tests.replies import answer_all, decode

TINY = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
)
END = 0


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    model = Llama(TINY)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model.requires_grad_(False)


@pytest.fixture(autouse=True, params=["trunk", "copies", "pieces"])
def way(request, monkeypatch):
    """Every test with a shared beginning kept once, with copies of it, and with prompts read in
    pieces."""
    monkeypatch.setattr(sampler, "LEAST_TRUNK", 4 if request.param == "trunk" else 10**9)
    monkeypatch.setattr(sampler, "PIECE", 3 if request.param == "pieces" else 512)
    return request.param


once = pytest.mark.parametrize("way", ["trunk"], indirect=True)
"""For a test in which the ways do not differ."""


@pytest.fixture
def read(monkeypatch) -> list[list[int]]:
    """All the tokens that are read, a list a row."""
    seen: list[list[int]] = []
    plain = Sampler._read_piece

    def noted(self: Sampler, tokens: list[list[int]], first: int) -> torch.Tensor:
        seen.extend(tokens)
        return plain(self, tokens, first)

    monkeypatch.setattr(Sampler, "_read_piece", noted)
    return seen


def text(seed: int, n: int) -> list[int]:
    return torch.randint(1, 64, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


@once
@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        # softmax of log(.5, .3, .15, .05)
        (1.0, 1.0, [0.5, 0.3, 0.15, 0.05]),
        # squares, over their sum .365
        (0.5, 1.0, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        # .5 + .3 reaches .8, so two tokens are left: .5/.8 and .3/.8
        (1.0, 0.8, [0.625, 0.375, 0, 0]),
        # .5 alone falls short of .81 by far, .8 falls short by a little: three are left
        (1.0, 0.81, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
    ],
)
def test_sampled_frequencies_match_temperature_and_top_p(temperature, top_p, expected):
    n = 20_000
    logits = torch.tensor([0.3, 0.05, 0.5, 0.15], dtype=torch.float64).log().float().expand(n, 4)
    uniforms = torch.rand(n, generator=torch.Generator().manual_seed(0))
    counts = (
        pick(logits, Sampling(temperature, top_p, 1), uniforms)
        .bincount(minlength=4)[[2, 0, 3, 1]]
        .tolist()
    )
    kept = [i for i, p in enumerate(expected) if p]
    assert all(counts[i] == 0 for i in range(4) if i not in kept)
    assert chisquare([counts[i] for i in kept], [n * expected[i] for i in kept]).pvalue > 0.001


@once
def test_a_nucleus_wider_than_the_first_look_is_found():
    """Of 2,000 equal tokens top_p .9 keeps about 1,800: more than the 1,024 looked at first."""
    uniforms = torch.linspace(0, 0.9999, 4000)
    tokens = pick(torch.zeros(4000, 2000), Sampling(1.0, 0.9, 1), uniforms)
    assert 1795 <= len(tokens.unique()) <= 1805


@once
def test_the_largest_uniform_stays_inside_the_nucleus():
    logits = torch.tensor([[5.0, 4.0, -9.0]])
    assert pick(logits, Sampling(1.0, 0.9, 1), torch.tensor([1 - 2**-24])).item() == 1
    # also where u times the total rounds up to the total
    assert pick(logits, Sampling(1.0, 0.9, 1), torch.ones(1)).item() == 1


@once
def test_a_nucleus_ends_where_top_p_is_reached():
    """Of two equal tokens top_p .5 keeps one: the first reaches it, exactly."""
    uniforms = torch.linspace(0, 0.9999, 100)
    assert len(pick(torch.zeros(100, 2), Sampling(1.0, 0.5, 1), uniforms).unique()) == 1


@once
def test_temperature_zero_is_greedy():
    assert (
        pick(torch.tensor([[0.1, 2.0, 1.9]]), Sampling(0, 0.1, 1), torch.tensor([0.99])).item() == 1
    )


def plain_greedy(model: Llama, prompt: list[int], n: int) -> list[int]:
    ids = list(prompt)
    for _ in range(n):
        token = int(model.logits(model(torch.tensor([ids])))[0, -1].argmax())
        if token == END:
            break
        ids.append(token)
    return ids[len(prompt) :]


def test_cached_batched_decoding_equals_whole_passes_when_rows_finish_and_return(tiny):
    """Unequal prompts; rows leave and come back in another order; one prompt goes back behind what
    was cached."""
    decoder = Sampler(tiny, [END], Sampling(0, 1, 12))
    shared = text(9, 6)
    prompts = {key: shared + text(i, 3 + 4 * i) for i, key in enumerate("abcd")}
    for keys in ("abcd", "db", "cab", "d"):
        out = decode(decoder, [Request(key, prompts[key]) for key in keys])
        for key, decoded in zip(keys, out, strict=True):
            assert decoded.ids == plain_greedy(tiny, prompts[key], 12)
            kept = decoded.ids[:5] if key != "d" else []
            prompts[key] = prompts[key] + kept + text(50, 4)


def test_a_reply_does_not_depend_on_its_neighbours(tiny):
    requests = [Request(str(i), text(i, 5 + i), seed=i) for i in range(8)]
    together = decode(Sampler(tiny, [END], Sampling(1.0, 0.95, 20)), requests)
    for request, decoded in zip(requests, together, strict=True):
        assert decode(Sampler(tiny, [END], Sampling(1.0, 0.95, 20)), [request])[0] == decoded
    assert len({tuple(decoded.ids) for decoded in together}) == 8


def test_a_shared_beginning_is_read_once(tiny, read, way):
    shared = text(1, 40)
    decoder = Sampler(tiny, [END], Sampling(0, 1, 1))
    decode(decoder, [Request(str(i), shared + text(i, 3)) for i in range(5)])
    assert sum(map(len, read)) == 40 + 5 * 3 + 5  # at last each reply's one token
    assert len(decoder.trunk) == (40 if way == "trunk" else 0)
    assert [decoder.cache.own(row) for row in range(5)] == [4 if way == "trunk" else 44] * 5


def test_a_conversation_leaves_the_trunk_when_its_beginning_changes(tiny):
    """Four begin alike; then one goes on, one has another beginning, one is new with the old one,
    one is gone."""
    decoder = Sampler(tiny, [END], Sampling(0, 1, 6))
    prompts = {key: text(1, 30) + text(i, 5) for i, key in enumerate("abcd")}
    decode(decoder, [Request(key, prompt) for key, prompt in prompts.items()])
    prompts |= {"a": prompts["a"] + text(20, 3), "b": text(2, 12), "e": text(1, 30) + text(21, 4)}
    prompts |= {"c": text(1, 17) + text(22, 4)}
    decoder.forget("d")
    del prompts["d"]
    for key, reply in zip(
        prompts, decode(decoder, [Request(k, p) for k, p in prompts.items()]), strict=True
    ):
        assert reply.ids == plain_greedy(tiny, prompts[key], 6), key


def test_a_conversation_that_joins_copies_the_beginning_and_a_forgotten_one_leaves_no_trace(
    tiny, read
):
    """b joins while a is decoded, a is forgotten while b is: all replies are those of plain greedy
    decoding."""
    decoder = Sampler(tiny, [END], Sampling(0, 1, 12))
    prompts = {key: text(1, 20) + text(i, 5 + i) for i, key in enumerate("abc")}
    decoder.add([Request("a", prompts["a"])])
    done = {}
    for _ in range(4):
        done |= decoder.step()
    read.clear()
    decoder.add([Request("b", prompts["b"])])
    assert sum(map(len, read)) == 6  # 26 tokens, 20 of them copied from a
    while "a" not in done:
        done |= decoder.step()
    decoder.forget("a")
    decoder.add([Request("c", prompts["c"])])
    while decoder.pending:
        done |= decoder.step()
    assert {key: reply.ids for key, reply in done.items()} == {
        key: plain_greedy(tiny, prompt, 12) for key, prompt in prompts.items()
    }
    assert sorted(decoder.keys) == ["b", "c"] and len(decoder.held) == 2


def test_conversations_that_come_one_by_one_share_a_trunk(tiny, read, way):
    """a plants it when b comes, two tokens too long, since b goes on like a at first; c shortens
    it; d takes it so.

    a and b are being decoded meanwhile: each reply is that of plain greedy decoding, and the 40
    tokens are read once.
    """
    decoder, shared = Sampler(tiny, [END], Sampling(0, 1, 12)), text(1, 40)
    prompts = {"a": [*shared, 5, 6, *text(2, 9)], "b": [*shared, 5, 6, *text(3, 4)]}
    prompts |= {
        "c": [*shared, 7, *text(4, 6)],
        "d": [*shared, 8, *text(5, 3)],
        "e": [9, *text(6, 30)],
    }
    done, sizes = {}, []
    for key, prompt in prompts.items():
        decoder.add([Request(key, prompt)])
        sizes.append(len(decoder.trunk))
        done |= decoder.step()
    while decoder.pending:
        done |= decoder.step()
    for key, prompt in prompts.items():
        assert done[key].ids == plain_greedy(tiny, prompt, 12), key
    assert sum(map(len, read)) == 51 + 4 + 7 + 4 + 31 + sum(
        len(reply.ids) for reply in done.values()
    )
    assert sizes == ([0, 42, 40, 40, 40] if way == "trunk" else [0] * 5)
    on_trunk = {key: int(decoder.cache.on_trunk[row]) for row, key in enumerate(decoder.keys)}
    assert on_trunk == dict.fromkeys("abcd", int(way == "trunk")) | {"e": 0}
    for key in "abcd":  # and on they go, in other company
        prompts[key] = [*prompts[key], *done[key].ids[:3], *text(50, 4)]
    for key, reply in zip(
        "dbac", decode(decoder, [Request(key, prompts[key]) for key in "dbac"]), strict=True
    ):
        assert reply.ids == plain_greedy(tiny, prompts[key], 12), key


def test_a_trunk_that_nobody_stands_on_gives_way_to_another(tiny, way):
    decoder = Sampler(tiny, [END], Sampling(0, 1, 4))
    prompts = {
        key: text(1 if key in "ab" else 2, 20) + text(10 + i, 4) for i, key in enumerate("abxy")
    }
    for key in "abx":
        decode(decoder, [Request(key, prompts[key])])
    for key in "ab":
        decoder.forget(key)
    (reply,) = decode(decoder, [Request("y", prompts["y"])])
    assert reply.ids == plain_greedy(tiny, prompts["y"], 4)
    assert decoder.trunk == (text(2, 20) if way == "trunk" else [])


def test_a_beginning_much_shorter_than_the_trunk_leaves_it_whole(tiny, way):
    decoder = Sampler(tiny, [END], Sampling(0, 1, 4))
    prompts = {"a": text(1, 40) + [5], "b": text(1, 40) + [6], "c": text(1, 19) + text(2, 9)}
    for key, prompt in prompts.items():
        (reply,) = decode(decoder, [Request(key, prompt)])
        assert reply.ids == plain_greedy(tiny, prompt, 4), key
    assert len(decoder.trunk) == (40 if way == "trunk" else 0)


@once
def test_a_trunk_takes_the_memory_of_one_row(tiny):
    """20 conversations of 603 tokens, 600 of which they share, never take more than ROOM slots
    each: the beginning is read in one row, which is small again when the others get theirs."""
    decoder = Sampler(tiny, [END], Sampling(0, 1, 4))
    most, grow = [], KVCache.grow

    def noted(cache, *words, **named):
        grow(cache, *words, **named)
        rows, _, slots, _ = cache.own_kv[0].shape
        most.append(rows * slots)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KVCache, "grow", noted)
        decoder.add([Request(str(i), text(1, 600) + text(i + 2, 3)) for i in range(20)])
    assert len(decoder.trunk) == 600
    assert max(most) == 20 * decoder.cache.slots == 20 * kv_cache.ROOM


@once
def test_room_is_made_for_one_layer_after_another(monkeypatch):
    """While a layer's keys or values are copied, those that were copied before are gone."""
    cache = KVCache(TINY, torch.device("cpu"), torch.float32)
    cache.add_rows(3)
    cache.grow(rows=2, slots=8)
    old, pad = [weakref.ref(x) for x in cache.own_kv], torch.nn.functional.pad
    alive = []

    def counted(x, more):
        alive.append(sum(ref() is not None for ref in old))
        return pad(x, more)

    monkeypatch.setattr(kv_cache.F, "pad", counted)
    cache.grow(rows=3, slots=9 + kv_cache.ROOM)
    assert alive == [4, 3, 2, 1]
    assert {x.shape for x in cache.own_kv} == {(3, 2, 9 + 2 * kv_cache.ROOM, 8)}


class Launches(TorchDispatchMode):
    """Counts operators, but for those that only look at memory otherwise."""

    count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        out = operator(*args, **(kwargs or {}))
        looks = isinstance(out, torch.Tensor) and out._is_view()
        self.count += not looks
        return out


@once
@pytest.mark.parametrize(("sampling", "waits"), [((0.8, 0.9), 2), ((0, 1), 1)])
def test_a_step_is_as_many_launches_for_any_rows_and_asks_the_device_twice(
    tiny, monkeypatch, sampling, waits
):
    """Once for the tokens, and before it whether a nucleus was wide; never for a row."""
    asked = []
    for name in ("item", "tolist", "__bool__", "__int__", "__index__"):
        plain = getattr(torch.Tensor, name)
        noted = lambda x, plain=plain, name=name: asked.append(name) or plain(x)  # noqa: E731
        monkeypatch.setattr(torch.Tensor, name, noted)
    counts = []
    for rows in (2, 30):
        decoder = Sampler(tiny, [END], Sampling(*sampling, 100))
        decoder.add([Request(str(i), text(1, 40) + text(i, 3), i) for i in range(rows)])
        decoder.step()  # draws a row's next 32 random numbers
        asked.clear()
        with Launches() as launches:
            assert not decoder.step()
        counts.append((launches.count, len(asked)))
    assert counts[0] == counts[1] and counts[0][1] == waits


def test_conversations_wait_for_room_and_idle_ones_make_room(tiny, capsys):
    """A prompt of 16 tokens, of 18 in the second round, and a reply of 12 need 30 slots, made as
    30 + ROOM: room for two such rows. Of five conversations two are decoded at a time, others as
    these end; the replies are those without a limit, in the second round too, for which no
    conversation is kept but two."""
    warn.cache_clear()
    free, tight = (Sampler(tiny, [END], Sampling(0, 1, 12)) for _ in range(2))
    tight.most = 2 * (30 + kv_cache.ROOM)
    prompts = {key: text(i, 16) for i, key in enumerate("abcde")}
    for _ in range(2):
        requests = [Request(key, prompt) for key, prompt in prompts.items()]
        expected = decode(free, requests)
        tight.add(requests)
        assert (len(tight.pending), len(tight.waiting)) == (2, 3)
        done = {}
        while tight.pending:
            assert len(tight.keys) * tight.cache.slots <= tight.most
            assert len(tight.cache.own_kv[0]) <= 2
            done |= tight.step()
        assert [done[key] for key in prompts] == expected
        for key, reply in done.items():
            prompts[key] = [*prompts[key], *reply.ids[:2]]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: 5 conversations, 2 at a time: free memory holds no more"


@once
def test_pads_take_no_room(tiny):
    """a's token behind 300 that are held is padded to b's 300: 301 + 12 slots do, not 600."""
    decoder = Sampler(tiny, [END], Sampling(0, 1, 12))
    decoder.most = 2 * (301 + 12 + kv_cache.ROOM)
    prompts = {"a": text(1, 301), "b": text(2, 300)}
    decode(decoder, [Request("a", prompts["a"][:300])])
    replies = decode(decoder, [Request(key, prompt) for key, prompt in prompts.items()])
    assert [reply.ids for reply in replies] == [
        plain_greedy(tiny, prompt, 12) for prompt in prompts.values()
    ]
    rows, _, slots, _ = decoder.cache.own_kv[0].shape
    assert rows == 2 and rows * slots <= decoder.most


@once
def test_held_conversations_begin_first(tiny, read):
    """Three conversations, room for two: a and b are begun, then c takes the place of one. Of all
    three, asked again, the two that are held read what is new, 3 tokens each, and the third, for
    which one of them goes in the end, all."""
    decoder = Sampler(tiny, [END], Sampling(0, 1, 12))
    decoder.most = 2 * (32 + kv_cache.ROOM)
    prompts = {key: text(i, 16) for i, key in enumerate("abc")}
    first = decode(decoder, [Request(key, prompt) for key, prompt in prompts.items()])
    for (key, prompt), reply in zip(prompts.items(), first, strict=True):
        prompts[key] = [*prompt, *reply.ids[:2], 63]
    held = set(decoder.keys)
    assert len(held) == 2 and "c" in held
    read.clear()
    decoder.add([Request(key, prompt) for key, prompt in prompts.items()])
    assert {reply.request.key for reply in decoder.pending} == held
    assert sorted(map(len, read)) == [1, 1]
    done = {}
    while decoder.pending:
        done |= decoder.step()
    assert {key: reply.ids for key, reply in done.items()} == {
        key: plain_greedy(tiny, prompt, 12) for key, prompt in prompts.items()
    }


@once
def test_a_reply_larger_than_the_room_is_made_all_the_same(tiny):
    decoder = Sampler(tiny, [END], Sampling(0, 1, 12))
    decoder.most = 1
    decoder.add([])  # where all prompts were too long
    assert not decoder.pending
    replies = decode(decoder, [Request(key, text(3, 5)) for key in "ab"])
    assert [reply.ids for reply in replies] == [plain_greedy(tiny, text(3, 5), 12)] * 2


@once
def test_a_gpus_free_memory_in_tokens(tiny, monkeypatch):
    """7/8 of 900 bytes free and 124 that PyTorch holds unused are 896. A token has 2 x 2 layers x 2
    heads x 8 numbers of 4 bytes, 256: three fit."""
    assert kv_cache.tokens_that_fit(tiny) == sys.maxsize
    gpu = {"mem_get_info": (900, 2000), "memory_reserved": 324, "memory_allocated": 200}
    for name, value in gpu.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    there = SimpleNamespace(device=torch.device("cuda"), head=tiny.head, config=TINY)
    assert kv_cache.tokens_that_fit(there) == 3


@once
def test_length_and_stop(tiny):
    out = decode(Sampler(tiny, [END], Sampling(0, 1, 7)), [Request("a", text(3, 5))])[0]
    assert (len(out.ids), out.finish) == (7, "length")
    ends_at = out.ids[3]
    first = out.ids.index(ends_at)
    stopped = decode(Sampler(tiny, [ends_at], Sampling(0, 1, 7)), [Request("a", text(3, 5))])[0]
    assert (stopped.ids, stopped.finish) == (out.ids[:first], "stop")


def test_a_bridge_is_put_in_at_half_of_the_tokens_and_once(tiny):
    asked = []
    request = Request(
        "a", text(3, 5), forced=(7, 8), bridge=lambda ids: asked.append(len(ids)) or [11, 12]
    )
    out = decode(Sampler(tiny, [END], Sampling(0, 1, 10)), [request])[0]
    assert out.ids[:2] == [7, 8] and out.ids[5:7] == [11, 12] and len(out.ids) == 10
    assert asked == [5]


def test_a_bridge_is_put_in_where_the_reply_would_end(tiny):
    free = decode(Sampler(tiny, [END], Sampling(0, 1, 7)), [Request("a", text(3, 5))])[0].ids
    end = free[2]
    first = free.index(end)
    request = Request("a", text(3, 5), bridge=lambda ids: [11])
    out = decode(Sampler(tiny, [end], Sampling(0, 1, 30)), [request])[0]
    assert out.ids[: first + 1] == [*free[:first], 11]


@once
def test_enforced_cot_always_has_both_parts(embedded, tokenizer):
    chat = LocalChat("m", embedded, tokenizer, Sampling(0.8, 0.9, 24))
    asks = [
        Ask(str(i), [{"role": "user", "content": f"Say the number {i}."}], i, enforce=True)
        for i in range(4)
    ]
    for reply in answer_all(chat, asks):
        assert reply.text.startswith("Thinking:") and "\nAnswer:" in reply.text
        assert parse_reply(reply.text, cot=True)
        assert 0 < reply.response_tokens <= 24


@once
def test_a_limit_without_room_is_refused(embedded, tokenizer):
    with pytest.raises(InputError, match="8192 new tokens a reply: the context of m holds 8192"):
        LocalChat("m", embedded, tokenizer, Sampling(0, 1, 8192))
    chat = LocalChat("m", embedded, tokenizer, Sampling(0, 1, 11))
    ask = Ask("a", [{"role": "user", "content": "Hi"}], 0)
    assert answer_all(chat, [ask])[0].text
    with pytest.raises(InputError, match="11 new tokens a reply: the enforced form needs 12"):
        answer_all(chat, [replace(ask, enforce=True)])


@once
def test_a_reply_does_not_end_right_behind_what_was_forced(tiny):
    """Here greedy decoding would: the token that it says first is made the end token."""
    asked, greedy = Request("a", text(3, 5), forced=(7,)), Sampling(0, 1, 4)
    (first,) = decode(Sampler(tiny, [], greedy), [asked])
    end = first.ids[1]
    (out,) = decode(Sampler(tiny, [end], greedy), [asked])
    assert out.ids[0] == 7 and len(out.ids) > 1 and out.ids[1] != end


@once
def test_a_limit_below_the_forced_beginning_ends_the_reply(tiny):
    out = decode(
        Sampler(tiny, [END], Sampling(0, 1, 2)), [Request("a", text(3, 5), forced=(7, 8, 9))]
    )[0]
    assert (out.ids, out.finish) == ([7, 8, 9], "length")


@once
def test_trap_19_a_prompt_that_leaves_no_room_has_status_context(embedded, tokenizer):
    chat = LocalChat("m", embedded, tokenizer, Sampling(0, 1, 16))
    long = Ask("long", [{"role": "user", "content": "word " * 8190}], 0)
    short = Ask("short", [{"role": "user", "content": "Hi"}], 0)
    too_long, fine = answer_all(chat, [long, short])
    assert (too_long.status, too_long.text, too_long.response_tokens) == ("context", "", 0)
    assert fine.status in ("ok", "length") and fine.text
