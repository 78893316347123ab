"""Reads an exported folder back into this model; FP8 weights are dequantised."""

import json
import os

import torch

from config import ModelConfig, config_from_dict
from fp8 import dequantise
from model import Model
from safetensors_io import read_torch


def read_weights(folder: str) -> dict:
    """All tensors by name, FP8 ones as the float32 values that they stand for."""
    names = sorted(n for n in os.listdir(folder) if n.endswith(".safetensors"))
    tensors = {}
    for name in names:
        tensors.update(read_torch(os.path.join(folder, name)))
    scales = {name: tensors.pop(name) for name in [n for n in tensors if n.endswith("_scale_inv")]}
    return {name: dequantise(t, scales[f"{name}_scale_inv"]) if f"{name}_scale_inv" in scales else t for name, t in tensors.items()}


def read_config(folder: str) -> ModelConfig:
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        values = json.load(file)
    values["rope_theta"] = values["rope_parameters"]["rope_theta"]
    return config_from_dict({key: values[key] for key in ModelConfig().to_dict()})


def stacked(weights: dict, config: ModelConfig) -> dict:
    """Joins the experts' tensors as they are held in memory; everything float32."""
    out = {name: value.float() for name, value in weights.items() if ".mlp.experts." not in name}
    for layer in range(config.first_k_dense_replace, config.num_hidden_layers):
        prefix = f"model.layers.{layer}.mlp.experts"
        part = {kind: torch.stack([weights[f"{prefix}.{e}.{kind}_proj.weight"].float() for e in range(config.n_routed_experts)]) for kind in ("gate", "up", "down")}
        out[f"{prefix}.gate_up_proj"] = torch.cat((part["gate"], part["up"]), dim=1)
        out[f"{prefix}.down_proj"] = part["down"]
    return out


def reload(folder: str, dtype: torch.dtype = torch.float32) -> Model:
    config = read_config(folder)
    model = Model(config, dtype)
    model.load_state_dict(stacked(read_weights(folder), config))
    return model
