"""vLLM's parsers for the tool calls and reasoning of each model family. Data only.

The names are those in vLLM's registries; a test checks them against an installed vLLM.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from heats.serving.model_files import read_object


@dataclass(frozen=True, slots=True)
class Family:
    """Models with the same output format.

    Attributes:
        pattern: regular expression searched in `NAME MODEL_TYPE`, both in lower case.
        tools: vLLM's tool-call parser; empty if the models do not call tools.
        reasoning: vLLM's reasoning parser; empty if the models have no separate reasoning.
    """

    name: str
    pattern: str
    tools: str = ""
    reasoning: str = ""


FAMILIES: tuple[Family, ...] = (
    Family("DeepSeek-R1 distilled", r"r1-distill", "", "deepseek_r1"),
    Family("DeepSeek-R1", r"deepseek-r1", "deepseek_v3", "deepseek_r1"),
    Family("DeepSeek-V4", r"deepseek[-_]?v4", "deepseek_v4", "deepseek_v4"),
    Family("DeepSeek-V3.2", r"deepseek[-_]?v3[._]?2", "deepseek_v32", "deepseek_v3"),
    Family("DeepSeek-V3.1", r"deepseek[-_]?v3[._]1", "deepseek_v31", "deepseek_v3"),
    Family("DeepSeek-V3", r"deepseek[-_]?v3", "deepseek_v3"),
    Family("Qwen3-Coder", r"qwen3[-_]?coder", "qwen3_coder"),
    Family("Qwen3.5 and later", r"qwen3[._][5-9]|qwen3_5", "qwen3_coder", "qwen3"),
    Family("Qwen3 instruct", r"qwen3.*instruct", "hermes"),
    Family("Qwen3", r"qwen3", "hermes", "qwen3"),
    Family("QwQ", r"qwq", "hermes", "deepseek_r1"),
    Family("Qwen2 and Qwen2.5", r"qwen2", "hermes"),
    Family("GLM-4.7 and GLM-5", r"glm-?4[._]7|glm-?5", "glm47", "glm45"),
    Family("GLM-4.5 and GLM-4.6", r"glm-?4[._][56]|glm4[_-]?moe", "glm45", "glm45"),
    Family("gpt-oss", r"gpt[-_]?oss", "openai", "openai_gptoss"),
    Family("Kimi-K3", r"kimi[-_]?k3", "kimi_k3", "kimi_k3"),
    Family("Kimi-K2 thinking", r"kimi[-_]?k2.*thinking|kimi[-_]?k2[._][5-9]", "kimi_k2", "kimi_k2"),
    Family("Kimi-K2", r"kimi[-_]?k2", "kimi_k2"),
    Family("MiniMax-M3", r"minimax[-_]?m3", "minimax_m3", "minimax_m3"),
    Family("MiniMax-M2", r"minimax[-_]?m2", "minimax_m2", "minimax_m2"),
    Family("Magistral", r"magistral", "mistral", "mistral"),
    Family("Mistral, Devstral, Codestral", r"mistral|devstral|codestral|ministral|mixtral", "mistral"),
    Family("Llama 4", r"llama-?_?4", "llama4_pythonic"),
    Family("Hermes", r"hermes", "hermes"),
    Family("Nemotron 3", r"nemotron-?3|nemotron[-_]?h", "qwen3_coder", "nemotron_v3"),
    Family("Llama 3", r"llama", "llama3_json"),
    Family("Seed-OSS", r"seed[-_]?oss", "seed_oss", "seed_oss"),
    Family("OLMo 3", r"olmo[-_]?3", "olmo3", "olmo3"),
    Family("Step-3.5", r"step[-_]?3[.p_]5", "step3p5", "step3p5"),
    Family("MiMo", r"mimo", "mimo", "mimo"),
    Family("Granite 4", r"granite[-_]?4|granitemoehybrid", "granite4"),
    Family("Granite", r"granite", "granite", "granite"),
    Family("Hunyuan-A13B", r"hunyuan[-_]?a13b", "hunyuan_a13b", "hunyuan_a13b"),
    Family("ERNIE 4.5", r"ernie[-_]?4[._]?5", "ernie45", "ernie45"),
    Family("Gemma 4", r"gemma[-_]?4", "gemma4", "gemma4"),
    Family("Phi-4-mini", r"phi[-_]?4[-_]mini", "phi4_mini_json"),
    Family("xLAM", r"xlam", "xlam"),
)
"""A model belongs to the first family whose pattern matches."""


def family_of(model: str) -> Family | None:
    """Return a model's family, from its name and, for a directory, its `config.json`; None if it is unknown."""
    path = Path(model)
    text = f"{path.name if path.is_dir() else model} {read_object(path / 'config.json').get('model_type', '')}".lower()
    return next((family for family in FAMILIES if re.search(family.pattern, text)), None)
