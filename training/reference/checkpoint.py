"""Checkpoints: one file with everything that continues a run, replaced atomically."""

import os
import random

import numpy as np
import torch

from config import ModelConfig, config_from_dict
from model import Model


def random_state() -> dict:
    return {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": np.random.get_state(), "python": random.getstate()}


def restore_random_state(state: dict) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


def save(path: str, model: Model, **more) -> None:
    """`more`: optimiser, progress, data position and whatever else the run needs."""
    content = {"config": model.config.to_dict(), "model": {k: v.detach().cpu() for k, v in model.state_dict().items()}, "random": random_state(), **more}
    torch.save(content, path + ".tmp")
    with open(path + ".tmp", "rb") as file:
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def load(path: str) -> dict:
    return torch.load(path, map_location="cpu", weights_only=False)


def stages(content: dict) -> list[dict]:
    """The stages that led to a checkpoint, first to last, each with its options and how far it went."""
    last = {key: content[key] for key in ("stage", "step", "tokens", "elapsed", "options") if key in content}
    return content.get("earlier", []) + [last] if last else []


def model_from(content: dict, dtype: torch.dtype) -> Model:
    config: ModelConfig = config_from_dict(content["config"])
    model = Model(config, dtype)
    model.load_state_dict(content["model"])
    return model
