"""What the tests share: small models with weights far from their first values, and documents."""

import os
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, HERE)

from batch import Document  # noqa: E402
from config import load_config  # noqa: E402
from model import Model  # noqa: E402

SIZES = os.path.join(HERE, "..", "sizes", "test.json")
torch.set_num_threads(1)  # the products are tiny
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def random_model(seed: int = 1, dtype: torch.dtype = torch.float32, **sizes) -> Model:
    model = Model(load_config(SIZES, **sizes), dtype)
    model.scatter(torch.Generator().manual_seed(seed))
    return model


def random_document(length: int, seed: int, vocab: int = 256) -> Document:
    rng = np.random.default_rng(seed)
    mask = np.ones(length, np.uint8)
    mask[: length // 2] = 0
    return Document(rng.integers(2, vocab, length), mask, 1 + seed % 5, seed % 2, (0, seed))
