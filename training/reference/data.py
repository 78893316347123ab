"""Token shards to batches: waits for a generator that is still writing, holds documents out, packs whole documents, reads ahead.

No document is used twice in one pass. Every batch carries the reader's state after it, so a checkpoint continues with the next one.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from batch import Batch, Document, make_grid, make_pack
from safetensors_io import read_header, read_numpy

GRID_LENGTHS = (128, 1024, 2048, 4096, 8192)  # few: each is compiled once


@dataclass
class DataOptions:
    folder: str
    total: int  # tokens a batch, padding included
    grid: bool = False
    follow: bool = False  # wait for shards until tokens.json is there
    held_out: int = 256  # documents of the first shard that are for validation
    look_ahead: int = 512  # documents to choose from
    longest: int = 8192
    seed: int = 0
    passes: int = 1
    start_shard: int = 0  # a stage may begin where an earlier one stopped
    chunk: int = 8192
    vocab_size: int | None = None  # of the model: larger ids are refused


class Shards:
    """The folder as a growing list of shards."""

    def __init__(self, folder: str, follow: bool, poll: float = 0.5, stop: threading.Event | None = None, vocab_size: int | None = None):
        self.folder, self.follow, self.poll, self.vocab_size = folder, follow, poll, vocab_size
        self.stop = stop or threading.Event()
        self.loaded: dict[int, dict] = {}

    def path(self, shard: int) -> str:
        return os.path.join(self.folder, f"tokens-{shard:05d}.safetensors")

    def complete(self) -> bool:
        return os.path.exists(os.path.join(self.folder, "tokens.json"))

    def get(self, shard: int) -> dict | None:
        """The arrays of a shard; None behind the last one."""
        if shard in self.loaded:
            return self.loaded[shard]
        while not os.path.exists(self.path(shard)):
            # The manifest is written last: look for the shard once more after seeing it.
            done = self.complete() or not self.follow
            if os.path.exists(self.path(shard)):
                break
            if done or self.stop.is_set():
                return None
            self.stop.wait(self.poll)
        arrays = read_numpy(self.path(shard))
        ids = arrays["input_ids"]
        if self.vocab_size and len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            raise ValueError(f"{self.path(shard)}: found ids {int(ids.min())} to {int(ids.max())}; accepted: 0 to {self.vocab_size - 1}, the model's vocabulary "
                             "(--vocab-size N gives a new model another)")
        self.loaded[shard] = arrays
        return arrays

    def document(self, reference: tuple[int, int]) -> Document:
        shard = self.get(reference[0])
        if shard is None:
            raise FileNotFoundError(f"{self.path(reference[0])}: needed to continue, but gone")
        first, last = (int(x) for x in shard["document_starts"][reference[1] : reference[1] + 2])
        return Document(shard["input_ids"][first:last].astype(np.int64), np.array(shard["loss_mask"][first:last]),
                        int(shard["level"][reference[1]]), int(shard["mode"][reference[1]]), tuple(reference))

    def forget(self, keep: set[int]) -> None:
        for shard in [s for s in self.loaded if s not in keep]:
            del self.loaded[shard]

    def tokens_on_disk(self) -> int | None:
        """Tokens of all shards, once the folder is complete; shards that were deleted count from the manifest if it says."""
        if self.follow and not self.complete():
            return None
        names = [n for n in os.listdir(self.folder) if n.startswith("tokens-") and n.endswith(".safetensors")]
        return sum(read_header(os.path.join(self.folder, n))[0]["input_ids"]["shape"][0] for n in names)


class Reader:
    """Makes batches one after the other; not threaded."""

    def __init__(self, options: DataOptions, state: dict | None = None, stop: threading.Event | None = None):
        self.options = options
        self.shards = Shards(options.folder, options.follow, stop=stop, vocab_size=options.vocab_size)
        state = state or {"pass": 0, "shard": options.start_shard, "next": 0, "buffer": [], "dropped": 0, "documents": 0, "tokens": 0}
        self.epoch, self.shard, self.next = state["pass"], state["shard"], state["next"]
        self.dropped, self.documents, self.tokens = state["dropped"], state["documents"], state["tokens"]
        self.buffer = [self.shards.document(tuple(r)) for r in state["buffer"]]
        self.order: np.ndarray | None = None
        self.exhausted = False

    def state(self) -> dict:
        return {"pass": self.epoch, "shard": self.shard, "next": self.next, "buffer": [d.reference for d in self.buffer], "dropped": self.dropped,
                "documents": self.documents, "tokens": self.tokens}

    def oldest_shard(self) -> int:
        return min([self.shard] + [d.reference[0] for d in self.buffer])

    def _held_out(self, shard: int, count: int) -> int:
        """Documents at the shard's beginning that training never sees: only the first shard has them, at most a quarter of it."""
        return min(self.options.held_out, count // 4) if shard == 0 else 0

    def _fill(self) -> None:
        while not self.exhausted and len(self.buffer) < self.options.look_ahead:
            arrays = self.shards.get(self.shard)
            if arrays is None:
                self.epoch += 1
                if self.epoch >= self.options.passes or self.shards.stop.is_set() or self.shard == 0:
                    self.exhausted = True
                else:
                    self.shard, self.next, self.order = 0, 0, None
                continue
            count = len(arrays["level"])
            if self.order is None:
                first = self._held_out(self.shard, count)
                self.order = first + np.random.default_rng([self.options.seed, self.epoch, self.shard]).permutation(count - first)
            if self.next >= len(self.order):
                self.shard, self.next, self.order = self.shard + 1, 0, None
                self.shards.forget({d.reference[0] for d in self.buffer})
                continue
            document = self.shards.document((self.shard, int(self.order[self.next])))
            self.next += 1
            if len(document) > min(self.options.longest, self.options.total) or not document.mask[1:].any():
                self.dropped += 1
            else:
                self.buffer.append(document)

    def _take_pack(self) -> list[Document]:
        """The oldest document, then the longest that still fits, again and again."""
        chosen, room, slots = [self.buffer.pop(0)], self.options.total, self.slots()
        room -= len(chosen[0])
        # Oldest first while there is much room keeps the order of the data; best fit closes the pack.
        while self.buffer and room > 4 * self.options.longest and len(chosen) < slots:
            chosen.append(self.buffer.pop(0))
            room -= len(chosen[-1])
        while len(chosen) < slots:
            fitting = [(len(d), -i) for i, d in enumerate(self.buffer) if len(d) <= room]
            if not fitting:
                break
            chosen.append(self.buffer.pop(-max(fitting)[1]))
            room -= len(chosen[-1])
        return chosen

    def _take_grid(self) -> tuple[list[Document], int]:
        """The oldest document sets the row length; the longest documents of at most that length join it."""
        lengths = [t for t in GRID_LENGTHS if self.options.total % t == 0] or [self.options.total]
        length = next((t for t in lengths if t >= len(self.buffer[0])), self.options.total)
        rows = self.options.total // length
        joining = sorted((i for i, d in enumerate(self.buffer) if i and len(d) <= length), key=lambda i: (-len(self.buffer[i]), i))[: rows - 1]
        chosen = [self.buffer[0]] + [self.buffer[i] for i in joining]
        gone = {0, *joining}
        self.buffer = [d for i, d in enumerate(self.buffer) if i not in gone]
        return chosen, length

    def slots(self) -> int:
        return max(8, self.options.total // 256)

    def next_batch(self) -> Batch | None:
        self._fill()
        if not self.buffer:
            return None
        if self.options.grid:
            documents, length = self._take_grid()
            batch = make_grid(documents, length, self.options.total, self.options.chunk)
        else:
            documents = self._take_pack()
            batch = make_pack(documents, self.options.total, self.slots(), self.options.chunk)
        self.documents += len(documents)
        self.tokens += batch.tokens
        batch.state = {**self.state(), "oldest": self.oldest_shard()}
        return batch

    def validation(self) -> list[Batch]:
        """The held-out documents, in batches of the same form."""
        arrays = self.shards.get(0)
        if arrays is None:
            return []
        keep = self.buffer
        self.buffer = [self.shards.document((0, i)) for i in range(self._held_out(0, len(arrays["level"])))]
        self.buffer = [d for d in self.buffer if len(d) <= min(self.options.longest, self.options.total) and d.mask[1:].any()]
        out = []
        while self.buffer:
            if self.options.grid:
                documents, length = self._take_grid()
                out.append(make_grid(documents, length, self.options.total, self.options.chunk))
            else:
                out.append(make_pack(self._take_pack(), self.options.total, self.slots(), self.options.chunk))
        self.buffer = keep
        return out


class Prefetch:
    """A thread that keeps a few batches ready, in pinned memory where there is a GPU."""

    def __init__(self, reader: Reader, pin: bool, depth: int = 4):
        self.reader, self.pin = reader, pin
        self.queue: queue.Queue = queue.Queue(depth)
        self.waited = 0.0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _put(self, item) -> None:
        while not self.reader.shards.stop.is_set():
            try:
                self.queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _run(self) -> None:
        try:
            while not self.reader.shards.stop.is_set():
                batch = self.reader.next_batch()
                self._put(batch.pin() if batch is not None and self.pin else batch)
                if batch is None:
                    return
        except BaseException as error:  # handed to the consumer
            self._put(error)

    def get(self, waiting: Callable[[], None] | None = None, patience: float = 1.0) -> Batch | None:
        """The next batch, None when the data has ended or `close` was called. Calls `waiting` once if that takes longer than `patience`."""
        begin = time.monotonic()
        while True:
            try:
                item = self.queue.get(timeout=0.2)
                break
            except queue.Empty:
                if self.reader.shards.stop.is_set():
                    return None
                if waiting and time.monotonic() - begin > patience:
                    waiting()
                    waiting = None
        self.waited += time.monotonic() - begin
        if isinstance(item, BaseException):
            raise item
        return item

    def ended(self) -> bool:
        """Whether the data is known to have ended: nothing but its end is left to get."""
        with self.queue.mutex:
            return bool(self.queue.queue) and self.queue.queue[0] is None

    def close(self) -> None:
        self.reader.shards.stop.set()
        self.thread.join(timeout=5)


def read_manifest(folder: str) -> dict:
    path = os.path.join(folder, "tokens.json")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)
