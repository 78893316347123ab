"""Synthetic shards in the format of `gauntlet export tokens`: `python synthetic.py DIR --tokens 2000000 --vocab 4096`.

A document is a random prompt and, to be learnt, copies of parts of it: a model has to attend to get the loss down.
"""

import argparse
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from safetensors_io import write  # noqa: E402


def document(rng: np.random.Generator, length: int, vocab: int) -> tuple[np.ndarray, np.ndarray]:
    prompt = max(4, int(length * 0.6))
    ids = np.empty(length, np.int64)
    ids[:prompt] = rng.integers(2, vocab, prompt)
    mask = np.zeros(length, np.uint8)
    at = prompt
    while at < length:
        size = min(length - at, int(rng.integers(3, 17)))
        start = int(rng.integers(0, max(1, prompt - size)))
        ids[at : at + size] = ids[start : start + size]
        at += size
    ids[0], ids[-1] = 0, 1
    mask[prompt:] = 1
    return ids, mask


def write_shard(folder: str, number: int, rng: np.random.Generator, tokens: int, vocab: int, shortest: int, longest: int) -> int:
    parts, total = [], 0
    while total < tokens:
        parts.append(document(rng, int(rng.integers(shortest, longest + 1)), vocab))
        total += len(parts[-1][0])
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids, _ in parts])]).astype(np.int64)
    count = len(parts)
    kind = np.uint16 if vocab <= 65536 else np.int32
    write(os.path.join(folder, f"tokens-{number:05d}.safetensors"), {
        "input_ids": np.concatenate([ids for ids, _ in parts]).astype(kind), "loss_mask": np.concatenate([mask for _, mask in parts]), "document_starts": starts,
        "level": rng.integers(1, 6, count).astype(np.uint8), "mode": rng.integers(0, 2, count).astype(np.uint8), "parallel": rng.integers(0, 2, count).astype(np.uint8)})
    return total


def make(folder: str, shards: int = 2, tokens: int = 20000, vocab: int = 256, shortest: int = 20, longest: int = 120, seed: int = 5) -> int:
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(seed)
    total = sum(write_shard(folder, i, rng, tokens, vocab, shortest, longest) for i in range(shards))
    with open(os.path.join(folder, "tokens.json"), "w", encoding="utf-8") as file:
        json.dump({"tokens": total, "vocabulary_size": vocab, "shards": shards}, file)
    return total


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder")
    p.add_argument("--tokens", type=int, default=2_000_000, help="a shard")
    p.add_argument("--shards", type=int, default=2)
    p.add_argument("--vocab", type=int, default=4096)
    p.add_argument("--shortest", type=int, default=700)
    p.add_argument("--longest", type=int, default=2600)
    a = p.parse_args()
    print(make(a.folder, a.shards, a.tokens, a.vocab, a.shortest, a.longest), "tokens")
