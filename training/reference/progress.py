"""Figures of a run: collected on the device without waiting for it, read every few steps, written to log.csv and log.svg."""

import csv
import os
import time

import torch

from config import ModelConfig
from flops import PEAK_BF16, training_flops
from model import Model, Output
from plot import draw


class StepStatistics:
    """Sums over the micro-batches of one step."""

    def __init__(self, batches: list):
        self.tokens = sum(b.tokens for b in batches)
        self.loss_tokens = sum(b.loss_tokens for b in batches)
        self.squares = sum(b.squares for b in batches)
        self.count = len(batches)
        self.loss = self.loads = self.kl = self.recall = None

    def add(self, loss: torch.Tensor | None, out: Output) -> None:
        """No loss: it was not computed."""
        def plus(a, b):
            return b if a is None else a + b

        if loss is not None:
            self.loss = plus(self.loss, loss.detach())
        if out.loads:
            self.loads = plus(self.loads, torch.stack(out.loads))
        if out.kl:
            self.kl = plus(self.kl, torch.stack([x.detach() for x in out.kl]))
            self.recall = plus(self.recall, torch.stack(out.recall))

    def figures(self) -> dict:
        """Reads the device: waits for it."""
        out = {} if self.loss is None else {"loss": float(self.loss) / max(1, self.loss_tokens)}
        if self.loads is not None:
            share = self.loads / self.loads.sum(-1, keepdim=True).clamp_min(1)
            out["expert_load_max"] = float(share.max()) * share.shape[-1]  # 1: even
        if self.kl is not None:
            out["kl"] = float(self.kl.mean()) / self.count
            mass, queries = self.recall.unbind(-1)
            if float(queries.sum()) > 0:
                shares = (mass / queries.clamp_min(1)).tolist()
                out["recall"] = sum(shares) / len(shares)
                out.update({f"recall_{i}": share for i, share in enumerate(shares)})
        return out


@torch.no_grad()
def validate(model: Model, batches: list, stage: str, device: torch.device) -> dict:
    """Loss on the held-out documents, whole and by level and mode, with the attention of the stage (dense in the warm-up)."""
    sums, counts = torch.zeros(512, device=device), torch.zeros(512, device=device)
    for batch in batches:
        batch = batch.to(device)
        out = model(batch, "sparse" if stage == "sparse" else "dense")
        _, losses = model.loss(out.hidden, batch)
        sums.index_add_(0, batch.loss_level, losses * batch.loss_weight)
        counts.index_add_(0, batch.loss_level, batch.loss_weight)
    if not batches or float(counts.sum()) == 0:
        return {}
    scores = {"valid_all": float(sums.sum() / counts.sum())}
    for key in range(min(len(counts), 40)):
        if float(counts[key]) > 0:
            scores[f"valid_level{key // 2}_{'chat' if key % 2 else 'thinking'}"] = float(sums[key] / counts[key])
    return scores


class Log:
    """log.csv: a column for every figure that may occur, so that a continued run can append."""

    def __init__(self, folder: str, config: ModelConfig, stage: str, append: bool):
        self.path, self.config = os.path.join(folder, "log.csv"), config
        layers = range(config.num_hidden_layers) if stage != "dense" else ()
        self.columns = ["step", "tokens", "seconds", "loss", "valid_all", "lr_factor", "tokens_per_s", "mfu", "expert_load_max", "kl", "recall",
                        *(f"recall_{i}" for i in layers), *(f"valid_level{n}_{mode}" for n in range(1, 6) for mode in ("thinking", "chat")), "data_wait_s", "dropped"]
        append = append and os.path.exists(self.path)
        self.file = open(self.path, "a" if append else "w", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, self.columns, extrasaction="ignore")
        if not append:
            self.writer.writeheader()
        self.pause()

    def pause(self) -> None:
        """Rates are measured from here on."""
        self.since, self.done_tokens, self.flops = time.monotonic(), 0, 0.0

    def count(self, s: StepStatistics) -> None:
        self.done_tokens += s.tokens
        self.flops += training_flops(self.config, s.tokens, s.loss_tokens, s.squares)

    def figures(self, statistics: StepStatistics) -> dict:
        """The step's figures and the rates since the last pause; waits for the device first."""
        out = statistics.figures()
        span = max(1e-9, time.monotonic() - self.since)
        if self.done_tokens:
            out["tokens_per_s"], out["mfu"] = self.done_tokens / span, self.flops / span / PEAK_BF16
        return out

    def write(self, row: dict, figures: dict) -> None:
        row.update({key: f"{value:.6g}" for key, value in figures.items()})
        self.writer.writerow(row)
        self.file.flush()
        shown = ("step", "tokens", "seconds", "loss", "valid_all", "lr_factor", "tokens_per_s", "mfu", "kl", "recall", "data_wait_s")
        print(" ".join(f"{key} {row[key]}" for key in shown if key in row), flush=True)
        draw(self.path, self.path[:-4] + ".svg")
        self.pause()

    def close(self) -> None:
        self.file.close()
