"""Text to token ids and back, and conversations to prompts.

Read are `tokenizer.json` and sentencepiece's `tokenizer.model`. What a person or a model wrote is
always text, even an added token spelt in it; special tokens enter through the chat template alone.
"""

from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from act.model.templates import Messages, Special, choose
from act.records import InputError, read_json, refuse_other

KEPT_TEXTS = 1024  # whose token ids are kept: the messages of some twenty sessions


class ChatTokenizer:
    """The tokenizer of a model folder, with a chat template: `template`, or the folder's own.

    >>> tokenizer = ChatTokenizer("models/smollm2-135m-instruct")
    >>> tokenizer.decode(tokenizer.encode("  Hi <|im_end|>"))
    '  Hi <|im_end|>'
    """

    def __init__(self, folder: str | Path, template: str | None = None):
        # 1. the vocabulary
        folder = Path(folder)
        file = folder / "tokenizer.json"
        if not file.is_file():
            file = folder / "tokenizer.model"
        if not file.is_file():
            said = "neither tokenizer.json nor tokenizer.model; is the download complete?"
            raise InputError(f"{folder}: {said}")
        refuse_other(file)
        try:
            self._read_json(file) if file.suffix == ".json" else self._read_pieces(file)
        except Exception as error:  # the tokenizers library raises plain Exception
            cause = "" if file.suffix == ".json" else "; Llama 3 needs its tokenizer.json"
            raise InputError(f"{file}: the tokenizer cannot be read: {error}{cause}") from None
        # 2. the template, and what ends a reply: its tokens, and those that the folder names
        self.template, self.usual_template = choose(folder, self._has, template)
        own = [self.token_id(token) for token in self.template.tokens()]
        ends = [self.token_id(token) for token in self.template.ends if self._has(token)]
        config = folder / "config.json"
        config = read_json(config) if config.is_file() else {}
        named = named_ends(folder, config)
        self.end_ids = list(dict.fromkeys(ends + named))
        self._hidden |= {*own, *self.end_ids}
        # 3. the embedding has a row for each id
        rows = config.get("vocab_size")
        for what, ids in (
            ("its tokenizer has token ids up to", [self._largest, *own, *ends]),
            ("its eos_token_id are up to", named),
        ):
            if isinstance(rows, int) and max(ids, default=0) >= rows:
                said = f"{what} {max(ids)}, but vocab_size in config.json is {rows}"
                raise InputError(f"{folder}: {said}; is one of these files another model's?")
        # A conversation's texts come anew with every turn.
        self._encode_again = lru_cache(KEPT_TEXTS)(self.encode)

    def _read_json(self, file: Path) -> None:
        backend = Tokenizer.from_str(file.read_text(encoding="utf-8-sig"))
        backend.no_truncation()
        backend.no_padding()
        added = backend.get_added_tokens_decoder()
        self._hidden = {i for i, token in added.items() if token.special}
        # an added token spelt in text stays text, also one that the file does not call special
        backend.add_special_tokens([token.content for token in added.values()])
        backend.encode_special_tokens = True
        self._encode = lambda text: backend.encode(text, add_special_tokens=False).ids
        self._decode = lambda ids: backend.decode(ids, skip_special_tokens=False)
        # token -> its id, None where there is none; id -> token
        self.token_id, self.piece = backend.token_to_id, backend.id_to_token
        # the largest id that text can have
        self._largest = max(backend.get_vocab(with_added_tokens=False).values())

    def _read_pieces(self, file: Path) -> None:
        from sentencepiece import SentencePieceProcessor  # most folders are read without it

        pieces = SentencePieceProcessor(model_proto=without_user_defined(file.read_bytes()))
        names = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
        self._encode = pieces.encode
        # an embedding may have more rows than there are pieces
        self._decode = lambda ids: pieces.decode([i for i in ids if i < len(names)])
        self.token_id, self.piece = names.get, pieces.id_to_piece
        self._hidden, self._largest = set(), len(names) - 1

    def _has(self, token: str) -> bool:
        return self.token_id(token) is not None

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text; nothing is added, and a special token spelt in it is text."""
        return self._encode(text)

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, without special tokens and those of the template."""
        return self._decode([i for i in ids if i not in self._hidden])

    def prompt(self, messages: Messages) -> list[int]:
        """Token ids of a conversation, up to where the assistant's reply begins."""
        ids: list[int] = []
        for piece in self.template.pieces(messages):
            special = isinstance(piece, Special)
            ids += [self.token_id(piece)] if special else self._encode_again(piece)
        return ids

    def reply(self, text: str) -> list[int]:
        """Token ids of an assistant's reply with its end token: training's target."""
        return [*self.encode(text.strip()), self.end_ids[0]]


def named_ends(folder: Path, config: dict) -> list[int]:
    """The end tokens that generation_config.json names, or config.json where that is not there.

    As in transformers: a generation_config.json that names none means none beyond the template's.
    """
    file, said = folder / "generation_config.json", config
    if file.is_file():
        said = read_json(file)
    else:
        file = folder / "config.json"
    told = said.get("eos_token_id")
    if told is None:
        return []
    ids = told if isinstance(told, list) else [told]
    if not all(type(i) is int and i >= 0 for i in ids):
        raise InputError(f'{file}: "eos_token_id" is {told!r}, not a token id or a list of them')
    return ids


def without_user_defined(model: bytes) -> bytes:
    """A sentencepiece model in which no piece is user-defined, that is found wherever text spells
    it: those are of type 5 (unused) instead of 4, and can still be decoded.

    The file is a protobuf that begins with the pieces: each a byte 0x0A, its length as a varint,
    and its fields, of which the type is the last.
    """
    changed, at = bytearray(model), 0
    while model[at : at + 1] == b"\x0a":
        length, shift, at = 0, 0, at + 1
        while True:
            byte = model[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                break
        at += length
        if model[at - 2 : at] == b"\x18\x04":
            changed[at - 1] = 5
    return bytes(changed)
