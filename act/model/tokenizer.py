"""Text to token ids and back, and conversations to prompts.

Read are `tokenizer.json` and sentencepiece's `tokenizer.model`. What a person or a model wrote is
always text, even a special token spelt in it; special tokens enter through the chat template alone.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from act.records import InputError

Messages = list[dict[str, str]]
"""[{"role": "system" | "user" | "assistant", "content": text}, ...]"""

# pinned: Llama 3.2's own template puts today's date here, so prompts change daily
LLAMA3_DATE = "26 Jul 2024"
KEPT_TEXTS = 1024  # whose token ids are kept: the messages of some twenty sessions
SMOLLM_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


class Special(str):
    """A piece of a template that is one special token, not text."""


def chatml(messages: Messages) -> list[str]:
    """ChatML as SmolLM2 writes it: <|im_start|>role newline content <|im_end|> newline."""
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": SMOLLM_SYSTEM}, *messages]
    pieces = []
    for message in messages:
        head = f"{message['role']}\n{message['content']}"
        pieces += [Special("<|im_start|>"), head, Special("<|im_end|>"), "\n"]
    return [*pieces, Special("<|im_start|>"), "assistant\n"]


def llama3(messages: Messages) -> list[str]:
    """Llama 3.2 Instruct: one BOS; a system header always, with the (pinned) dates."""
    dates = f"Cutting Knowledge Date: December 2023\nToday Date: {LLAMA3_DATE}\n\n"
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": ""}, *messages]
    pieces: list[str] = [Special("<|begin_of_text|>")]
    for message in [*messages, {"role": "assistant", "content": ""}]:
        pieces += [Special("<|start_header_id|>"), message["role"], Special("<|end_header_id|>")]
        pieces += [f"\n\n{dates}{message['content'].strip()}", Special("<|eot_id|>")]
        dates = ""  # in the first alone
    return pieces[:-1]  # the reply's end is not the prompt's


def mistral(messages: Messages) -> list[str]:
    """Mistral Instruct v3 (sentencepiece), with the system prompt in the first user turn.

    In the last, where Mistral's own code has it, a session's prompts would share no prefix.
    """
    if messages[0]["role"] == "system":
        first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        messages = [first, *messages[2:]]
    pieces: list[str] = [Special("<s>")]
    for message in messages:
        if message["role"] == "user":
            pieces += [Special("[INST]"), message["content"], Special("[/INST]")]
        else:
            pieces += [message["content"], Special("</s>")]
    return pieces


TEMPLATES: dict[str, tuple[Callable[[Messages], list[str]], tuple[str, ...]]] = {
    "<|im_start|>": (chatml, ("<|im_end|>", "<|endoftext|>")),
    "<|start_header_id|>": (llama3, ("<|eot_id|>", "<|end_of_text|>")),
    "[INST]": (mistral, ("</s>",)),
}
"""A token that tells a family -> (its template, the tokens that end a reply; first: written)."""


class ChatTokenizer:
    """The tokenizer of a model folder, with its chat template.

    >>> tokenizer = ChatTokenizer("models/smollm2-135m-instruct")
    >>> tokenizer.decode(tokenizer.encode("  Hi <|im_end|>"))
    '  Hi <|im_end|>'
    """

    def __init__(self, folder: str | Path):
        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            file = file.with_name("tokenizer.model")
        if not file.is_file():
            raise InputError(f"{folder}: neither tokenizer.json nor tokenizer.model")
        try:
            self._read_json(file) if file.suffix == ".json" else self._read_pieces(file)
        except Exception as error:  # the tokenizers library raises plain Exception
            raise InputError(f"{file}: the tokenizer cannot be read: {error}") from None
        # A conversation's texts come anew with every turn.
        self._encode_again = lru_cache(KEPT_TEXTS)(self.encode)
        for name, (template, ends) in TEMPLATES.items():
            if self.token_id(name) is not None:
                self.template = template
                self.end_ids = [i for i in map(self.token_id, ends) if i is not None]
                return
        known = "ChatML, Llama 3, Mistral"
        raise InputError(f"{folder}: its vocabulary fits no known chat template ({known})")

    def _read_json(self, file: Path) -> None:
        backend = Tokenizer.from_file(str(file))
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True  # special tokens spelt in text stay text
        self._encode = lambda text: backend.encode(text, add_special_tokens=False).ids
        self._decode = lambda ids: backend.decode(ids, skip_special_tokens=True)
        # token -> its id, None where there is none; id -> token
        self.token_id, self.piece = backend.token_to_id, backend.id_to_token

    def _read_pieces(self, file: Path) -> None:
        pieces = SentencePieceProcessor(model_file=str(file))
        names = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
        self._encode, self._decode = pieces.encode, pieces.decode
        self.token_id, self.piece = names.get, pieces.id_to_piece

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text; nothing is added, and a special token spelt in it is text."""
        return self._encode(text)

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, without special tokens."""
        return self._decode(ids)

    def prompt(self, messages: Messages) -> list[int]:
        """Token ids of a conversation, up to where the assistant's reply begins."""
        ids: list[int] = []
        for piece in self.template(messages):
            special = isinstance(piece, Special)
            ids += [self.token_id(piece)] if special else self._encode_again(piece)
        return ids

    def reply(self, text: str) -> list[int]:
        """Token ids of an assistant's reply with its end token: training's target."""
        return [*self.encode(text.strip()), self.end_ids[0]]
