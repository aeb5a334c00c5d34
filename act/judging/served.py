"""A judge behind an endpoint: it writes the forms; the strict grammar reads them or refuses;
attempts are bounded.

Where the server honours a JSON schema the reply can only be a form; elsewhere the judge has 34
lines to fill in. Nothing rewrites a reply that was refused: it is asked again, with another seed,
and the refusals are stored.
"""

import math
import re
from collections.abc import Iterator, Sequence

from act.dialogue.chat import Ask, Reply
from act.dialogue.endpoint import Endpoint
from act.dialogue.session import seed_from
from act.forms import FORMS, Form, render, slots
from act.grammar import Refused, parse_forms
from act.judging.judge import Judgement, Text, ask_for, expected_rating, request, wording_digest
from act.model.sampler import Sampling
from act.model.tokenizer import Messages

MAX_NEW_TOKENS = 1500  # the 34 lines are about 700
TOP_LOGPROBS = 20
WHOLE_FORMS = """\
Fill in both forms for the therapist. Reply with these 34 lines, a whole number in place of each "?", and nothing \
else; if JSON is wanted of you, one object a form, each item's number as key.

{blanks}"""
NUMBERS = [item.number for form in FORMS for item in form.items]
DIGIT_IN_JSON = re.compile(r'"(\d+)"\s*:\s*(\d)(?=\s*[,}])')
DIGIT_IN_LINE = re.compile(r"^[^\d\n]*(\d+)[^\d\n]*: (\d)\s*$", re.MULTILINE)


def form_messages(said: Sequence[tuple[str, str]], forms: Sequence[Form]) -> Messages:
    """What a served judge reads before it writes both forms."""
    return ask_for(request(said), WHOLE_FORMS.format(blanks=render(["?"] * 34, forms)))


class EndpointJudge:
    """NAME@URL. `attempts`: how many forms it may write for one text until one is valid."""

    def __init__(self, endpoint: Endpoint, forms: Sequence[Form], attempts: int, seed: int):
        self.name, self.endpoint = endpoint.model, endpoint
        self.forms, self.attempts, self.seed = forms, attempts, seed
        where = endpoint.url.removesuffix("/chat/completions")
        self.settings = {
            "endpoint": f"{endpoint.model}@{where}",
            "wording": wording_digest(forms, WHOLE_FORMS),
        }
        self.settings |= {"temperature": endpoint.sampling.temperature, "seed": seed}

    @classmethod
    def open(
        cls,
        spec: str,
        forms: Sequence[Form],
        attempts: int,
        temperature: float,
        seed: int,
        concurrency: int,
        timeout: float,
        room_to_think: int,
    ) -> "EndpointJudge":
        """NAME@URL as a judge: asked for a JSON schema and log-probabilities where the server takes
        them."""
        endpoint = Endpoint(
            spec, Sampling(temperature, 1.0, MAX_NEW_TOKENS), concurrency, timeout, room_to_think
        )
        schema = {"response_format": {"type": "json_schema", "json_schema": json_schema(forms)}}
        logprobs = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        with_schema = [schema] if endpoint.dialect.schemas else []
        offers = [*with_schema, {}]
        if endpoint.dialect.logprobs and not endpoint.thinks:
            offers = [*(offer | logprobs for offer in offers), *offers]
        endpoint.offers = offers
        return cls(endpoint, forms, attempts, seed)

    def rate(
        self, texts: Sequence[Text], items: Sequence[int] | None = None
    ) -> Iterator[tuple[Text, Judgement]]:
        """Judge.rate, as many at a time as the endpoint allows; a refused form is asked for again,
        `attempts` times."""
        waiting: dict[str, tuple[Text, list[str], list[dict]]] = {}
        for text in texts:
            if not text.said:
                yield text, Judgement("empty")
            else:
                waiting[f"{text.key}/{text.replicate}"] = (text, [], [])
        self.endpoint.start([self._ask(key, text, 1) for key, (text, _, _) in waiting.items()])
        while waiting:
            for key, reply in self.endpoint.step(1.0):
                text, refusals, calls = waiting[key]
                calls.append(reply.call or {})
                judgement = self._read(reply, refusals, calls)
                if judgement is None:
                    self.endpoint.start([self._ask(key, text, len(calls) + 1)])
                else:
                    del waiting[key]
                    yield text, judgement

    def _ask(self, key: str, text: Text, attempt: int) -> Ask:
        return Ask(
            key,
            form_messages(text.said, self.forms),
            seed_from(self.seed, text.key, text.replicate, attempt),
        )

    def _read(self, reply: Reply, refusals: list[str], calls: list[dict]) -> Judgement | None:
        """The judgement a reply makes, or None to ask once more."""
        attempts, more = len(calls), {"refusals": refusals, "calls": calls}
        if reply.status == "context":
            return Judgement("context", attempts=attempts, more=more)
        try:
            if was_refused(reply):
                raise Refused("the model or its provider declined")
            if reply.status != "ok":
                raise Refused(
                    {"length": "cut off at the token limit"}.get(reply.status, "no reply")
                )
            read = parse_forms(reply.text, self.forms)
        except Refused as refusal:
            refusals.append(str(refusal))
            if attempts < self.attempts:
                return None
            status = (
                "refused"
                if was_refused(reply)
                else "error"
                if reply.status == "error"
                else "format"
            )
            return Judgement(status, attempts=attempts, more=more)
        ratings = [rating for form in self.forms for rating in read[form.name]]
        return Judgement(
            "ok", ratings, expected_ratings(reply, ratings, self.forms), attempts, more
        )


def was_refused(reply: Reply) -> bool:
    """Did the model say no, or its provider's filter?"""
    return bool(reply.call) and bool(
        reply.call.get("refusal") or reply.call.get("finish") == "content_filter"
    )


def json_schema(forms: Sequence[Form]) -> dict:
    """The JSON schema of both filled forms, in the shape of `response_format`."""

    def strict(properties: dict) -> dict:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    items = {
        form.name: strict(
            {
                str(item.number): {"type": "integer", "enum": [int(digit) for digit in form.digits]}
                for item in form.items
            }
        )
        for form in forms
    }
    return {"name": "ratings", "strict": True, "schema": strict(items)}


def expected_ratings(
    reply: Reply, ratings: Sequence[int], forms: Sequence[Form]
) -> list[float] | None:
    """Each slot's rating weighted by the probabilities of its allowed digits, which a server gave
    as logarithms.

    None where it gave none, where the 34 rating tokens cannot be told, or where the digits of a
    slot have less than half of the probability among them: whole ratings never stand in for them.
    """
    try:
        expected = []
        for slot, token in zip(slots(forms), rating_tokens(reply, ratings), strict=True):
            probs = dict.fromkeys(slot.digits, 0.0)
            for candidate in token["top_logprobs"]:
                digit = candidate["token"].strip()
                if digit in probs:
                    probs[digit] += math.exp(candidate["logprob"])
            chosen = token["token"].strip()
            probs[chosen] = probs[chosen] or math.exp(
                token["logprob"]
            )  # a server may list the likeliest alone
            if not 0.5 <= sum(probs.values()) < 1.01:  # NaN neither
                return None
            expected.append(expected_rating(slot.digits, list(probs.values())))
    except (
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        AttributeError,
    ):  # not in OpenAI's shape, or not there
        return None
    return expected


def rating_tokens(reply: Reply, ratings: Sequence[int]) -> list[dict]:
    """The token with log-probabilities that each of the 34 ratings is. Raises ValueError where they
    cannot be told."""
    text = "".join(token["token"] for token in reply.logprobs).rstrip()
    begin = len(text) - len(reply.text)  # thoughts may stand before it
    if begin < 0 or text[begin:] != reply.text:
        raise ValueError("other words than the reply's")
    found = list((DIGIT_IN_JSON if "{" in reply.text else DIGIT_IN_LINE).finditer(text, begin))
    if [(int(match[1]), int(match[2])) for match in found] != list(
        zip(NUMBERS, ratings, strict=True)
    ):
        raise ValueError("not these ratings in this order")
    owner = [token for token in reply.logprobs for _ in token["token"]]  # of each character
    tokens = [owner[match.start(2)] for match in found]
    if [token["token"].strip() for token in tokens] != [str(rating) for rating in ratings]:
        raise ValueError("a rating shares its token with other text")
    return tokens
