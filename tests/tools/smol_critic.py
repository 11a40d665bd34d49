"""Trains a critic on top of a small model, for a real vLLM: `python smol_critic.py MODEL ROWS DIRECTORY [CLASSES]`.

ROWS is a JSON Lines file of `text` and `label` (true for good). The model itself stays as it is: a logistic
regression on the hidden state of each text's last token becomes the head of a `LlamaForSequenceClassification`, with 2
classes for vLLM's `/classify` (the default) or 1 for `/score`.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaModel

MOST_TOKENS = 2048
RIDGE = 1.0
NAMES = ("wrong", "right")


def features(model: Path, texts: list[str]) -> torch.Tensor:
    """The last token's final hidden state of each text; shape (texts, hidden size)."""
    tokenizer, encoder = AutoTokenizer.from_pretrained(model), LlamaModel.from_pretrained(model).float().eval()
    rows = []
    with torch.inference_mode():
        for text in texts:
            tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=MOST_TOKENS)
            rows.append(encoder(**tokens).last_hidden_state[0, -1].clone())
    return torch.stack(rows)


def fit(inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (hidden size) and bias of a ridge-penalised logistic regression on standardised inputs."""
    center, scale = inputs.mean(0), inputs.std(0, unbiased=False) + 1e-3
    scaled = (inputs - center) / scale
    weights, bias = torch.zeros(inputs.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = torch.nn.functional.binary_cross_entropy_with_logits(scaled @ weights + bias, labels)
        found = found + RIDGE * weights.square().sum() / len(labels)
        found.backward()
        return found

    optimizer.step(loss)
    with torch.no_grad():
        real = weights / scale
        return real, bias - real @ center


def write(model: Path, directory: Path, weights: torch.Tensor, bias: torch.Tensor) -> None:
    """Write the model with the head.

    Args:
        model: the model's directory.
        directory: where to write.
        weights: one row of the hidden size for each class.
        bias: one value for each class.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for file in model.glob("token*"):
        shutil.copy(file, directory)
    config = json.loads((model / "config.json").read_text()) | {
        "architectures": ["LlamaForSequenceClassification"],
        "id2label": {str(number): name for number, name in enumerate(NAMES[-len(bias) :])},
        "label2id": {name: number for number, name in enumerate(NAMES[-len(bias) :])},
    }
    (directory / "config.json").write_text(json.dumps(config))
    tensors = load_file(model / "model.safetensors")
    tensors |= {"score.weight": weights.to(torch.float16), "score.bias": bias.to(torch.float16)}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def main() -> None:
    """Train and write."""
    model, rows, directory = (Path(one) for one in sys.argv[1:4])
    signs = torch.tensor([1.0] if sys.argv[4:] == ["1"] else [-0.5, 0.5])
    found = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    torch.manual_seed(0)
    inputs = features(model, [one["text"] for one in found])
    weights, bias = fit(inputs, torch.tensor([float(one["label"]) for one in found]))
    write(model, directory, torch.outer(signs, weights), signs * bias)
    print(f"{len(found)} texts, {sum(one['label'] for one in found)} good")


if __name__ == "__main__":
    main()
