"""What the model eats: documents laid out on one flat token axis, as a pack or as a grid.

A pack holds documents back to back; `starts` bounds them and attention stays within each. A grid holds B documents at multiples of T.
Both restart positions at 0 for each document. Shapes are fixed (padding fills the rest), so compiled code is made once.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch


@dataclass
class Document:
    ids: np.ndarray  # int64 [length]
    mask: np.ndarray  # uint8 [length], 1 where the token is to be learnt
    level: int
    mode: int
    reference: tuple[int, int]  # shard, document within it

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Batch:
    input_ids: torch.Tensor  # int64 [N]
    positions: torch.Tensor  # int64 [N]
    valid: torch.Tensor  # bool [N], False for padding
    starts: torch.Tensor  # int32 [documents + 1], padded with its last entry (packs)
    loss_index: torch.Tensor  # int64 [P]: the position whose next token is learnt
    loss_target: torch.Tensor  # int64 [P]
    loss_weight: torch.Tensor  # float32 [P], 0 for padding
    loss_level: torch.Tensor  # int64 [P]: 2 * difficulty level + mode of the document
    longest: int  # bound of a document's length, from few values
    grid: tuple[int, int] | None  # (B, T)
    tokens: int  # real ones
    loss_tokens: int
    squares: int  # sum of the squared lengths, for the cost of attention
    state: dict | None = None  # where the reader stands after this batch

    def to(self, device: torch.device) -> "Batch":
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self) if isinstance(getattr(self, f.name), torch.Tensor)}
        return replace(self, **moved)

    def pin(self) -> "Batch":
        return replace(self, **{f.name: getattr(self, f.name).pin_memory() for f in fields(self) if isinstance(getattr(self, f.name), torch.Tensor)})


def _padded(values: list[np.ndarray], size: int, dtype) -> torch.Tensor:
    out = np.zeros(size, dtype)
    if values:
        joined = np.concatenate(values)
        out[: len(joined)] = joined
    return torch.from_numpy(out)


def _lay_out(documents: list[Document], offsets: list[int], total: int, chunk: int) -> dict:
    """The arrays that packs and grids have in common."""
    ids, positions, valid = np.zeros(total, np.int64), np.zeros(total, np.int64), np.zeros(total, bool)
    index, target, level = [], [], []
    for document, offset in zip(documents, offsets):
        end = offset + len(document)
        ids[offset:end] = document.ids
        positions[offset:end] = np.arange(len(document))
        valid[offset:end] = True
        learnt = np.flatnonzero(document.mask[1:])
        index.append(learnt + offset)
        target.append(document.ids[1:][learnt])
        level.append(np.full(len(learnt), 2 * document.level + document.mode))
    count = sum(len(x) for x in index)
    size = max(1, -(-count // chunk)) * chunk
    weight = np.zeros(size, np.float32)
    weight[:count] = 1.0
    return dict(
        input_ids=torch.from_numpy(ids), positions=torch.from_numpy(positions), valid=torch.from_numpy(valid),
        loss_index=_padded(index, size, np.int64), loss_target=_padded(target, size, np.int64), loss_weight=torch.from_numpy(weight),
        loss_level=_padded(level, size, np.int64), tokens=sum(len(d) for d in documents), loss_tokens=count,
        squares=sum(len(d) ** 2 for d in documents),
    )


def bound(length: int, least: int = 1024) -> int:
    """The power of two from `least` on that holds a length."""
    while least < length:
        least *= 2
    return least


def make_pack(documents: list[Document], total: int, slots: int, chunk: int = 8192) -> Batch:
    """Documents back to back in `total` tokens; at most `slots` of them. The padding forms documents of its own, since the attention
    kernel leaves rows outside any document unwritten."""
    offsets, end = [], 0
    for document in documents:
        offsets.append(end)
        end += len(document)
    if end > total or len(documents) > slots:
        raise ValueError("the documents do not fit the pack")
    starts, piece = offsets + [end], 1024
    while end < total:
        end = min(total, end + piece)
        starts.append(end)
    size = slots + 1 + -(-total // piece)
    bounds = np.full(size, total, np.int32)
    bounds[: len(starts)] = starts
    longest = bound(max(len(d) for d in documents), piece)
    return Batch(**_lay_out(documents, offsets, total, chunk), starts=torch.from_numpy(bounds), longest=longest, grid=None)


def make_grid(documents: list[Document], length: int, total: int, chunk: int = 8192) -> Batch:
    """Each document in its own row of `length` tokens, total / length rows."""
    rows = total // length
    if total % length or len(documents) > rows or any(len(d) > length for d in documents):
        raise ValueError("the documents do not fit the grid")
    offsets = [row * length for row in range(len(documents))]
    starts = torch.arange(0, total + 1, length, dtype=torch.int32)
    batch = Batch(**_lay_out(documents, offsets, total, chunk), starts=starts, longest=length, grid=(rows, length))
    # Padding keeps counting, so that a row's positions are 0..T-1 whatever it holds.
    batch.positions = torch.arange(length).repeat(rows)
    return batch
