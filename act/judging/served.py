"""A judge behind an endpoint: it writes the forms, and a strict reader takes or refuses them.

Where the server honours a JSON schema the reply can only be a form; elsewhere the judge has 34
lines to fill in. A reply that was refused is never mended, but asked for again, with another seed,
a bounded number of times; the refusals are stored.
"""

import math
import re
import sys
from argparse import Namespace
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate

from tqdm import tqdm

from act.dialogue.chat import Ask, Reply
from act.dialogue.endpoint import Endpoint, open_endpoint
from act.dialogue.probe import NONE
from act.dialogue.session import seed_from
from act.forms import FORMS, Form, Refused, Slot, parse_forms, slots
from act.judging.judge import (
    WHOLE_FORMS,
    Judge,
    Judgement,
    LocalJudge,
    Text,
    expected_rating,
    form_messages,
    wording_digest,
)
from act.model.sampler import Sampling
from act.model.spec import is_endpoint

MAX_NEW_TOKENS = 1500  # the 34 lines are about 700
# statuses of replies that would be the same again -> the judgement's
FINAL = {"context": "context", "lost": "error", "refused": "refused"}
NUMBERS = [item.number for form in FORMS for item in form.items]  # of the 34 slots in order
# a rating in the text of a reply: "7": 3, or ACT-FM 7. stays abstract and theoretical: 3
DIGIT_IN_JSON = re.compile(r'"(\d+)"\s*:\s*(\d)(?=\s*[,}])')
DIGIT_IN_LINE = re.compile(r"^[^\d\n]*(\d+)[^\d\n]*: (\d)\s*$", re.MULTILINE)


class EndpointJudge(Judge):
    """NAME@URL. `attempts`: how many forms it may write for one text until one is valid."""

    def __init__(
        self, endpoint: Endpoint, forms: Sequence[Form], replicates: int, attempts: int, seed: int
    ):
        self.name, self.endpoint, self.forms = endpoint.model, endpoint, forms
        self.replicates, self.attempts, self.seed = replicates, attempts, seed
        endpoint.options |= {
            "schema": {"sent": {"response_format": json_schema(forms)}, NONE: {}},
            "logprobs": {
                "20": {"logprobs": True, "top_logprobs": 20},  # the most that OpenAI gives
                "5": {"logprobs": True, "top_logprobs": 5},  # and others do
                NONE: {},
            },
        }
        self.settings = {
            "endpoint": endpoint.model,  # wherever it is served
            "wording": wording_digest(forms, WHOLE_FORMS),
            "temperature": endpoint.sampling.temperature,
            "seed": seed,
        }
        if endpoint.fields:
            self.settings["fields"] = endpoint.fields

    def get_ready(self) -> None:
        """Ask the server what it takes: that is a setting, too."""
        self.settings["served"] = self.endpoint.settle().served

    def rate(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Judgement]]:
        """Judge.rate, as many at a time as the endpoint allows."""
        # 1. all are asked for; of each text why replies were no form, and the endpoint's accounts
        waiting: dict[str, tuple[Text, dict[str, list]]] = {}
        for text in texts:
            if text.said:
                waiting[text.id] = text, {"refusals": [], "calls": []}
            else:
                yield text, Judgement("empty")
        self.endpoint.start([self._ask(text, 1) for text, _ in waiting.values()])
        # 2. as replies come in: a judgement, or another try
        self.endpoint.bar, whole, expected = self.bar, 0, 0
        while waiting:
            for key, reply in self.endpoint.step(1.0):
                text, more = waiting[key]
                more["calls"].append(reply.call or {})
                judgement = self._read(reply, more)
                if judgement is None:
                    self.endpoint.start([self._ask(text, len(more["calls"]) + 1)])
                else:
                    del waiting[key]
                    whole += judgement.status == "ok"
                    expected += judgement.expected is not None
                    yield text, judgement
        if expected < whole:
            said = f"{whole - expected} of {whole} ratings by {self.name} have no expected ratings"
            why = "the server gives no log-probabilities, or not of these words"
            tqdm.write(f"warning: {said}: {why}", file=sys.stderr)

    def _ask(self, text: Text, attempt: int) -> Ask:
        seed = seed_from(self.seed, text.key, text.replicate, attempt)
        return Ask(text.id, form_messages(text.said, self.forms), seed)

    def _read(self, reply: Reply, more: dict[str, list]) -> Judgement | None:
        """The judgement a reply makes, or None to ask once more."""
        made = partial(Judgement, attempts=len(more["calls"]), more=more)
        if reply.status == "refused":
            more["refusals"].append("the model or its provider declined")
        if reply.status in FINAL:
            return made(FINAL[reply.status])
        try:
            if reply.status != "ok":
                cut = reply.status == "length"
                raise Refused("cut off at the token limit" if cut else "no reply")
            read = parse_forms(reply.text, self.forms)
        except Refused as refusal:
            more["refusals"].append(str(refusal))
            status = "error" if reply.status == "error" else "format"
            return made(status) if len(more["calls"]) == self.attempts else None
        ratings = [rating for form in self.forms for rating in read[form.name]]
        return made("ok", ratings, expected_ratings(reply, ratings, self.forms))


def json_schema(forms: Sequence[Form]) -> dict:
    """The JSON schema of both filled forms, in the shape of `response_format`."""

    def strict(properties: dict) -> dict:
        every = {"required": list(properties), "additionalProperties": False}
        return {"type": "object", "properties": properties} | every

    sheets = {}
    for form in forms:
        rating = {"type": "integer", "enum": [int(digit) for digit in form.digits]}
        sheets[form.name] = strict({str(item.number): rating for item in form.items})
    named = {"name": "ratings", "strict": True, "schema": strict(sheets)}
    return {"type": "json_schema", "json_schema": named}


def expected_ratings(
    reply: Reply, ratings: Sequence[int], forms: Sequence[Form]
) -> list[float] | None:
    """Each slot's rating weighted by the probabilities of its allowed digits; None where not all of
    them are there. Whole ratings never stand in."""
    try:
        tokens = rating_tokens(reply, ratings)
        rated = zip(slots(forms), tokens, strict=True)
        return [expected_rating(slot.digits, digit_probs(slot, token)) for slot, token in rated]
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError):
        return None  # not in OpenAI's shape, or not there


def digit_probs(slot: Slot, token: dict) -> list[float]:
    """The probability of each digit of a slot. Raises ValueError where they are no distribution."""
    probs = dict.fromkeys(slot.digits, 0.0)
    for candidate in token["top_logprobs"]:
        digit = candidate["token"].strip()
        if digit in probs:
            probs[digit] += math.exp(candidate["logprob"])
    chosen = token["token"].strip()
    probs[chosen] = probs[chosen] or math.exp(token["logprob"])  # some list the likeliest alone
    if not 0.5 <= sum(probs.values()) < 1.01:  # NaN neither
        raise ValueError("the digits have little of the probability")
    return list(probs.values())


def rating_tokens(reply: Reply, ratings: Sequence[int]) -> list[dict]:
    """The token that each of the 34 ratings is. Raises ValueError where that cannot be told."""
    # 1. the reply put together again from its tokens; thoughts may stand before it
    pieces = [token["token"] for token in reply.logprobs]
    text = "".join(pieces).rstrip()
    if not text.endswith(reply.text):  # an end token, which the text does not show?
        text = "".join(pieces[:-1]).rstrip()
    if not text.endswith(reply.text):
        raise ValueError("other words than the reply's")
    ends = list(accumulate(map(len, pieces)))  # where each token ends in the text
    # 2. in it the 34 digits, and the token that each is
    digit = DIGIT_IN_JSON if "{" in reply.text else DIGIT_IN_LINE
    found = digit.finditer(text, len(text) - len(reply.text))
    tokens = []
    for match, number, rating in zip(found, NUMBERS, ratings, strict=True):
        token = reply.logprobs[bisect_right(ends, match.start(2))]
        if (int(match[1]), int(match[2])) != (number, rating):
            raise ValueError("not these ratings in this order")
        if token["token"].strip() != str(rating):
            raise ValueError("a rating shares its token with other text")
        tokens.append(token)
    return tokens


def open_judge(spec: str, args: Namespace) -> Judge:
    """The judge that a MODEL argument names."""
    if not is_endpoint(spec):
        return LocalJudge(spec, args.forms, args.long, args.device, args.template)
    endpoint = open_endpoint(spec, Sampling(args.temperature, 1.0, MAX_NEW_TOKENS), args)
    return EndpointJudge(endpoint, args.forms, args.replicates, args.attempts, args.seed)
