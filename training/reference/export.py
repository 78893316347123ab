"""Writes a checkpoint as a Hugging Face folder: `python export.py CHECKPOINT DIR --format bf16|fp8|f32 [--tokenizer tokenizer.json]`.

FP8 folders hold e4m3 weights with float32 multipliers `<name>_scale_inv`, as the public checkpoints do. Embedding, head, router and
weights_proj stay bf16 in them; norms and the router's bias are float32 in every format, since training uses them in float32.
"""

import argparse
import csv
import json
import os
import shutil

import torch

import checkpoint
from config import ModelConfig
from flops import active_weights
from fp8 import BLOCK, quantise
from layers import Linear
from model import Model
from moe import Experts
from safetensors_io import write

HERE = os.path.dirname(os.path.abspath(__file__))


def hugging_face_config(config: ModelConfig, kind: str) -> dict:
    out = {"architectures": ["DeepseekV32ForCausalLM"], "model_type": "deepseek_v32", **config.to_dict()}
    theta = out.pop("rope_theta")
    out.update({"num_key_value_heads": config.num_attention_heads, "hidden_act": "silu", "norm_topk_prob": True, "scoring_func": "sigmoid",
                "topk_method": "noaux_tc", "moe_layer_freq": 1, "attention_bias": False, "tie_word_embeddings": False,
                "rope_parameters": {"rope_type": "default", "rope_theta": theta}, "torch_dtype": "float32" if kind == "f32" else "bfloat16"})
    if kind == "fp8":
        out["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK], "scale_fmt": "ue8m0"}
    return out


def named_weights(model: Model) -> list[tuple[str, torch.Tensor, bool]]:
    """Every tensor of the checkpoint format: name, float32 value, whether FP8 may hold it. Experts are split."""
    blocked = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Linear) and module.fp8}
    stacked = {name for name, module in model.named_modules() if isinstance(module, Experts)}
    out = []
    for name, value in model.state_dict().items():
        value = value.detach().float()
        prefix, last = name.rsplit(".", 1)
        if prefix not in stacked:
            out.append((name, value, name in blocked))
        elif last == "gate_up_proj":
            for e, (gate, up) in enumerate(value.unflatten(1, (2, -1)).unbind(0)):
                out += [(f"{prefix}.{e}.gate_proj.weight", gate, True), (f"{prefix}.{e}.up_proj.weight", up, True)]
        else:
            out += [(f"{prefix}.{e}.down_proj.weight", down, True) for e, down in enumerate(value.unbind(0))]
    return out


def stored_tensors(model: Model, kind: str) -> dict:
    tensors = {}
    for name, value, blocked in named_weights(model):
        if kind == "fp8" and blocked:
            tensors[name], tensors[f"{name}_scale_inv"] = quantise(value)
        elif value.dim() < 2 or kind == "f32":
            tensors[name] = value
        else:
            tensors[name] = value.to(torch.bfloat16)
    return tensors


def size_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def write_weights(folder: str, tensors: dict, most: int) -> list[str]:
    """One file, or several of at most `most` bytes with an index."""
    parts, sizes = [{}], [0]
    for name, tensor in tensors.items():
        size = size_of(tensor) + 256  # and its header entry
        if parts[-1] and sizes[-1] + size > most:
            parts.append({})
            sizes.append(0)
        parts[-1][name] = tensor
        sizes[-1] += size
    names = ["model.safetensors"] if len(parts) == 1 else [f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors" for i in range(len(parts))]
    for name, part in zip(names, parts):
        write(os.path.join(folder, name), part, {"format": "pt"})
    if len(parts) > 1:
        index = {"metadata": {"total_size": sum(size_of(t) for t in tensors.values())}, "weight_map": {t: name for name, part in zip(names, parts) for t in part}}
        with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as file:
            json.dump(index, file, indent=1)
    return names


def last_figures(log: str) -> dict:
    """The last row of a training log that holds every figure of its steps: loss, and recall where the log has it. One row, never a mixture."""
    with open(log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with_recall = [row for row in rows if row.get("recall")]
    measured = [row for row in (with_recall or rows) if row.get("loss")]
    whole = [row for row in measured if row.get("valid_all")] or measured
    return {key: value for key, value in whole[-1].items() if value} if whole else {}


def stage_options(content: dict) -> str:
    """Every stage's options, for the card; paths say nothing to others."""
    parts = []
    for stage in checkpoint.stages(content):
        options = {k: v for k, v in stage.get("options", {}).items() if k not in ("data", "out", "init", "config")}
        parts.append(f"<details><summary>Options of stage {stage['stage']}: {stage['step']} steps, {stage['tokens'] / 1e6:.1f} M tokens, {stage['elapsed']:.0f} s</summary>\n\n"
                     f"```json\n{json.dumps(options, indent=1, default=str)}\n```\n</details>")
    return "\n\n".join(parts) or "Options: none recorded."


def model_card(model: Model, kind: str, content: dict, logs: list[str]) -> str:
    with open(os.path.join(HERE, "model_card.md"), encoding="utf-8") as file:
        template = file.read()
    sizes = "\n".join(f"| {key} | {value} |" for key, value in model.config.to_dict().items())
    parts = []
    for log in logs:
        figures = last_figures(log)
        parts.append(f"### {os.path.basename(os.path.dirname(os.path.abspath(log)))}\n\n| figure | last measured step |\n|---|---|\n" + "\n".join(f"| {key} | {value} |" for key, value in figures.items()))
    total = sum(p.numel() for p in model.parameters())
    values = {"parameters": f"{total / 1e6:.1f} M", "active": f"{active_weights(model.config) / 1e6:.1f} M", "format": kind, "sizes": sizes,
              "options": stage_options(content), "logs": "\n\n".join(parts) or "none given"}
    for key, value in values.items():
        template = template.replace("{{" + key + "}}", value)
    return template


def export(model: Model, folder: str, kind: str, tokenizer: str | None = None, most: int = 1 << 62, content: dict | None = None, logs: list[str] = ()) -> list[str]:
    os.makedirs(folder, exist_ok=True)
    names = write_weights(folder, stored_tensors(model, kind), most)
    files = {"config.json": hugging_face_config(model.config, kind), "generation_config.json": {"bos_token_id": model.config.bos_token_id, "eos_token_id": model.config.eos_token_id}}
    if tokenizer:
        shutil.copyfile(tokenizer, os.path.join(folder, "tokenizer.json"))
        beside = os.path.join(os.path.dirname(os.path.abspath(tokenizer)), "tokenizer_config.json")
        if os.path.exists(beside):  # it knows more, as the padding's token
            shutil.copyfile(beside, os.path.join(folder, "tokenizer_config.json"))
    if tokenizer and not os.path.exists(beside):
        with open(tokenizer, encoding="utf-8") as file:
            text = {entry["id"]: entry["content"] for entry in json.load(file).get("added_tokens", [])}
        files["tokenizer_config.json"] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.config.max_position_embeddings,
                                          "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False,
                                          "bos_token": text.get(model.config.bos_token_id), "eos_token": text.get(model.config.eos_token_id)}
    for name, value in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write(model_card(model, kind, content or {}, list(logs)))
    return names


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("checkpoint")
    p.add_argument("folder")
    p.add_argument("--format", choices=("bf16", "fp8", "f32"), default="bf16")
    p.add_argument("--tokenizer", help="tokenizer.json to copy, and the tokenizer_config.json beside it")
    p.add_argument("--log", action="append", default=[], help="log.csv of a stage, for the model card; may be repeated")
    p.add_argument("--file-mb", type=float, help="several files of at most so many MB (10^6 bytes), with an index")
    a = p.parse_args()
    loaded = checkpoint.load(a.checkpoint)
    written = export(checkpoint.model_from(loaded, torch.float32), a.folder, a.format, a.tokenizer, int(a.file_mb * 1e6) if a.file_mb else 1 << 62, loaded, a.log)
    print(f"{a.folder}: {len(written)} file(s), {sum(os.path.getsize(os.path.join(a.folder, n)) for n in written) / 1e6:.2f} MB")
