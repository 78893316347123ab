"""Compares an exported folder in three implementations: this one, transformers' DeepseekV32ForCausalLM, and the C++ engine.

`python compare_transformers.py DIR --ids ids.json [--engine logits.safetensors]`, float32 and eager; the engine's file comes from
`gauntlet model logits --model DIR --ids ids.json --out logits.safetensors`. `--random DIR` first writes a random model and ids there.
`--from-pretrained` lets transformers read the folder by itself, FP8 weights dequantised on load (needs the package accelerate), and also
compares every tensor with the stored one; without it the stored values are handed to its model.
Positions are compared one by one: where two scores are equal but for rounding, implementations may select different ones, and that
position's logits differ. Exits with 1 if more than the allowed share of positions, or any position before index_topk, where everything is
selected, is beyond the tolerance.
"""

import argparse
import json
import os
import sys

import torch

from batch import Document, make_grid
from config import load_config
from export import export
from model import Model
from reload import read_weights, reload, stacked
from safetensors_io import read_torch


def write_random(folder: str, sizes: str, kind: str, length: int, seed: int = 3) -> None:
    """A model whose norms, biases and scores are far from their first values, so that every part shows."""
    model = Model(load_config(sizes), torch.float32)
    generator = torch.Generator().manual_seed(seed)
    model.scatter(generator)
    export(model, folder, kind)
    with open(os.path.join(folder, "ids.json"), "w", encoding="utf-8") as file:
        json.dump(torch.randint(2, model.config.vocab_size, (length,), generator=generator).tolist(), file)


@torch.no_grad()
def own_logits(folder: str, ids: list[int]) -> torch.Tensor:
    model = reload(folder)
    tokens = torch.tensor(ids)
    document = Document(tokens.numpy(), torch.ones(len(ids), dtype=torch.uint8).numpy(), 1, 0, (0, 0))
    out = model(make_grid([document], len(ids), len(ids), 1), "sparse")
    return model.logits(out.hidden)


@torch.no_grad()
def transformers_logits(folder: str, ids: list[int]) -> torch.Tensor:
    from transformers import DeepseekV32Config, DeepseekV32ForCausalLM

    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        values = json.load(file)
    for key in ("quantization_config", "torch_dtype", "architectures", "model_type"):
        values.pop(key, None)
    config = DeepseekV32Config(**values)
    config._attn_implementation = "eager"
    model = DeepseekV32ForCausalLM(config).float().eval()
    missing, unexpected = model.load_state_dict(stacked(read_weights(folder), reload(folder).config), strict=False)
    if missing or unexpected:
        raise ValueError(f"names differ: missing {missing}, unexpected {unexpected}")
    return model(torch.tensor([ids])).logits[0].float()


@torch.no_grad()
def from_pretrained(folder: str, ids: list[int]) -> tuple[torch.Tensor, list[str]]:
    """Logits of the model that transformers loads, and the tensors that it holds other values for than the files."""
    from transformers import AutoConfig, DeepseekV32ForCausalLM, FineGrainedFP8Config

    quantised = hasattr(AutoConfig.from_pretrained(folder), "quantization_config")
    more = {"quantization_config": FineGrainedFP8Config(dequantize=True)} if quantised else {}
    model, found = DeepseekV32ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **more)
    problems = {key: value for key, value in found.items() if value}
    if problems:
        raise ValueError(f"{folder}: not loaded as it is: {problems}")
    stored, held = stacked(read_weights(folder), reload(folder).config), model.state_dict()
    return model.eval()(torch.tensor([ids])).logits[0].float(), [name for name, value in stored.items() if not torch.equal(held[name].float(), value)]


def relative(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).norm(dim=-1) / b.norm(dim=-1)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder")
    p.add_argument("--ids")
    p.add_argument("--engine")
    p.add_argument("--tolerance", type=float, default=1e-4)
    p.add_argument("--flips", type=float, default=0.01, help="share of positions that may differ")
    p.add_argument("--random", action="store_true")
    p.add_argument("--from-pretrained", action="store_true")
    p.add_argument("--sizes", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "sizes", "agent.json"))
    p.add_argument("--format", default="f32", choices=("f32", "bf16", "fp8"))
    p.add_argument("--length", type=int, default=384)
    a = p.parse_args()
    if a.random:
        write_random(a.folder, a.sizes, a.format, a.length)
    with open(a.ids or os.path.join(a.folder, "ids.json"), encoding="utf-8") as file:
        token_ids = json.load(file)
    own, other = own_logits(a.folder, token_ids), []
    if a.from_pretrained:
        theirs, other = from_pretrained(a.folder, token_ids)
        print(f"from_pretrained: tensors with other values than stored: {', '.join(other) or 'none'}")
    else:
        theirs = transformers_logits(a.folder, token_ids)
    pairs = {"this model, transformers": (own, theirs)}
    if a.engine:
        engine = read_torch(a.engine)["logits"]
        pairs.update({"engine, transformers": (engine, theirs), "engine, this model": (engine, own)})
    topk, agree = reload(a.folder).config.index_topk, not other
    for pair, (x, y) in pairs.items():
        errors = relative(x, y)
        beyond = errors > a.tolerance
        agree = agree and not bool(beyond[:topk].any()) and float(beyond.float().mean()) <= a.flips
        print(f"{pair}: relative error median {errors.median():.2e}, largest {errors.max():.2e}, beyond {a.tolerance:g} at {int(beyond.sum())} of {len(token_ids)} positions, same best token {(x.argmax(-1) == y.argmax(-1)).float().mean().item():.4f}")
    sys.exit(0 if agree else 1)
