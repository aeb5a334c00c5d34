"""TRL's own losses on a tiny Llama, for tests/test_losses.py: python -m
tests.truths.make_trl_truths -> trl.json.

The weights come from NumPy's RandomState, whose stream is frozen by NumPy's compatibility policy,
so the test builds the same model without a binary file. TRL runs whole: its trainers are
constructed, tokenise and collate the rows themselves, and compute_loss is called as its training
loop does. Its answers end with "e", which is also its padding.
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

TRUTHS = Path(__file__).with_name("trl.json")
WORDS = [*(f"w{i}" for i in range(96)), "e"]
END = WORDS.index("e")
LAMBDA_OR = 0.25
CONFIG = {
    "model_type": "llama",
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
# prompt, chosen, rejected: unequal lengths, a one-word answer, an end token inside a prompt
PAIRS = [
    ("w1 w2 e w3 w4", " w5 w6 w7", " w8"),
    ("w9 w10", " w11 w12 w13 w14 w15 w16", " w11 w17 w18 w19"),
    ("w20 w21 w22", " w23", " w24 w25 w26 w27 w28"),
]


def tiny_weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights for parameters of the given names and shapes, filled in order of name; norms lie
    around 1."""
    stream = np.random.RandomState(seed)
    return {
        name: torch.tensor(
            ("norm" in name) + 0.3 * stream.standard_normal(shapes[name]), dtype=torch.float32
        )
        for name in sorted(shapes)
    }


def trl_numbers() -> dict:
    """What TRL computes on PAIRS: batches, losses, metrics, gradients. Everything of TRL's is
    imported here."""
    import peft
    import transformers
    import trl
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    backend = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}))
    backend.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="e", pad_token="e")

    def model() -> LlamaForCausalLM:
        made = LlamaForCausalLM(LlamaConfig(**CONFIG, attn_implementation="eager"))
        made.load_state_dict(
            tiny_weights({name: tuple(p.shape) for name, p in made.named_parameters()})
        )
        return made.train()

    def result(trainer) -> dict:
        """Loss and gradients of the whole data set as one batch."""
        batch = next(iter(trainer.get_train_dataloader()))
        outputs = {
            "batch": {
                name: x.tolist()
                for name, x in batch.items()
                if name.endswith(("input_ids", "labels"))
            }
        }
        if isinstance(trainer, ORPOTrainer):
            chosen, rejected, *_ = trainer.concatenated_forward(trainer.model, batch)
            _, metrics = trainer.get_batch_loss_metrics(trainer.model, batch)
            outputs |= {
                "chosen_logps": chosen.tolist(),
                "rejected_logps": rejected.tolist(),
                "metrics": metrics,
            }
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        gradients = {name: p.grad for name, p in trainer.model.named_parameters()}
        outputs["loss"] = loss.item()
        outputs["gradients"] = {
            name: {"norm": g.norm().item(), "last": g.flatten()[-6:].tolist()}
            for name, g in gradients.items()
        }
        return outputs

    with tempfile.TemporaryDirectory() as folder:
        common = {
            "output_dir": folder,
            "use_cpu": True,
            "report_to": [],
            "per_device_train_batch_size": len(PAIRS),
        }
        common |= {"gradient_checkpointing": False, "bf16": False, "max_length": 64}
        rows = Dataset.from_list(
            [dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in PAIRS]
        )
        arguments = ORPOConfig(**common, beta=LAMBDA_OR, disable_dropout=True)
        orpo = result(
            ORPOTrainer(model(), arguments, train_dataset=rows, processing_class=tokenizer)
        )
        rows = Dataset.from_list([{"prompt": p, "completion": c} for p, c, _ in PAIRS])
        arguments = SFTConfig(**common, completion_only_loss=True)
        sft = result(SFTTrainer(model(), arguments, train_dataset=rows, processing_class=tokenizer))
    versions = {
        module.__name__: module.__version__ for module in (trl, transformers, peft, torch, np)
    }
    return {
        "versions": versions,
        "lambda_or": LAMBDA_OR,
        "config": CONFIG,
        "orpo": orpo,
        "sft": sft,
    }


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    TRUTHS.write_text(json.dumps(trl_numbers()) + "\n")
