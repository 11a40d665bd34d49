"""Builds a tiny Qwen2 with random weights for a real vLLM server: `python vllm_model.py DIRECTORY`.

Its tokenizer is trained on Python's standard library, so that code and prose take about as many tokens as with a real
one. It says nothing sensible; constrained decoding makes its output valid.
"""

import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

VOCABULARY, CONTEXT = 8192, 16384
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Qwen2.5's format: tools in the system message, calls and their results in tags.
TEMPLATE = """\
{%- if messages[0].role == "system" %}{% set system, rest = messages[0].content, messages[1:] %}
{%- else %}{% set system, rest = "You help.", messages %}{% endif -%}
<|im_start|>system
{{ system }}
{%- if tools %}

# Tools
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
A call is a JSON object in tags: <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call>
{%- endif %}<|im_end|>
{% for message in rest %}
{%- if message.role == "tool" -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else -%}
<|im_start|>{{ message.role }}
{{ message.content or "" }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif %}"""


def texts() -> Iterator[str]:
    """Sources of the standard library, about 3 MB."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        yield path.read_text(encoding="utf-8", errors="replace")[:60000]


def learn_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with Qwen's control tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        model_max_length=CONTEXT,
    )


def build(directory: Path) -> None:
    """Write model and tokenizer; the same bytes each time."""
    torch.manual_seed(0)
    tokenizer = learn_tokenizer()
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    weights = sum(parameter.numel() for parameter in model.parameters())
    (directory / "about.json").write_text(json.dumps({"parameters": weights, "context": CONTEXT}))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
