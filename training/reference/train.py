"""Trains one stage: dense, warmup or sparse. `python train.py --help`; README.md has the whole chain."""

import argparse
import os
import signal
import threading
import time

import torch

import checkpoint
from config import load_config
from data import DataOptions, Prefetch, Reader, read_manifest
from model import Model
from optimizer import Optimizers, schedule
from progress import Log, StepStatistics, validate

COMPILED = ({"attention", "grid", "mlp", "experts", "loss"}, {"attention", "grid", "mlp", "loss"}, {"attention", "mlp"}, set())
DEFAULTS = {"dense": dict(tokens=131072, muon=0.02, adam=3e-3, indexer=3e-3, decay=0.5),
            "warmup": dict(tokens=24576, muon=0.0, adam=0.0, indexer=3e-3, decay=0.3),
            "sparse": dict(tokens=24576, muon=0.004, adam=6e-4, indexer=1e-3, decay=0.7)}


def parse_arguments(arguments=None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stage", choices=tuple(DEFAULTS), required=True)
    p.add_argument("--data", required=True, help="folder of tokens-*.safetensors")
    p.add_argument("--out", required=True, help="folder for checkpoint.pt, log.csv, log.svg")
    p.add_argument("--config", help="a file of sizes/; not needed with --init or --resume")
    p.add_argument("--vocab-size", type=int, help="of a new model; else the manifest's, and where that is not written yet (--follow) the file's")
    p.add_argument("--init", help="checkpoint whose weights this stage starts from")
    p.add_argument("--resume", action="store_true", help="continue the run in --out, if it has a checkpoint")
    p.add_argument("--overwrite", action="store_true", help="begin anew although --out has a checkpoint")
    p.add_argument("--seconds", type=float, help="budget; the schedule follows the elapsed share")
    p.add_argument("--tokens", type=float, help="budget in tokens, instead or as well")
    p.add_argument("--batch-tokens", type=int, help="tokens a micro-batch, padding included (grids: a multiple of 24576)")
    p.add_argument("--accumulate", type=int, default=1, help="micro-batches a step")
    p.add_argument("--follow", action="store_true", help="wait for shards until tokens.json is written")
    p.add_argument("--delete-consumed", action="store_true", help="remove shards once a checkpoint no longer needs them (not the first)")
    p.add_argument("--held-out", type=int, default=256, help="documents of the first shard for validation")
    p.add_argument("--start-shard", type=int, default=0)
    p.add_argument("--passes", type=int, default=1)
    p.add_argument("--longest", type=int, default=8192, help="longer documents are dropped")
    p.add_argument("--muon-lr", type=float)
    p.add_argument("--adam-lr", type=float)
    p.add_argument("--indexer-lr", type=float)
    p.add_argument("--weight-decay", type=float, default=0.0)
    p.add_argument("--muon-decay", type=float, default=0.1, help="bounds the matrices' norms, and with them attention's logits: MLA has no norm on queries and keys")
    p.add_argument("--warmup-steps", type=int, default=30)
    p.add_argument("--decay-share", type=float, help="share of the budget over which the rate falls to 0")
    p.add_argument("--clip", type=float, default=1.0, help="norm bound of AdamW's gradients, 0: none")
    p.add_argument("--balance-rate", type=float, default=3e-4, help="step of the router's bias")
    p.add_argument("--balance-weight", type=float, default=0.01, help="weight of the router's balance loss")
    p.add_argument("--router-lr", type=float, default=2e-4, help="AdamW's rate for the router; at the others' it saturates within a few steps")
    p.add_argument("--kl-weight", type=float, default=1.0)
    p.add_argument("--fp8-aware", type=float, nargs="?", const=0.0, help="FP8 weights in training, from this share of the budget on (0)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--log-every", type=int, default=20)
    p.add_argument("--validate-every", type=int, default=500)
    p.add_argument("--checkpoint-minutes", type=float, default=5.0)
    p.add_argument("--no-compile", action="store_true")
    p.add_argument("--profile", type=int, default=0, help="print the top kernels of so many steps, then go on")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--dtype", choices=("bf16", "f32"), help="compute type (bf16 on cuda, f32 on cpu)")
    a = p.parse_args(arguments)
    if not a.seconds and not a.tokens:
        p.error("a budget is needed: --seconds or --tokens")
    if a.resume and a.overwrite:
        p.error("found --resume and --overwrite; accepted: one of them")
    for name, key in (("batch_tokens", "tokens"), ("muon_lr", "muon"), ("adam_lr", "adam"), ("indexer_lr", "indexer"), ("decay_share", "decay")):
        if getattr(a, name) is None:
            setattr(a, name, DEFAULTS[a.stage][key])
    a.dtype = a.dtype or ("bf16" if a.device.startswith("cuda") else "f32")
    return a


class Trainer:
    def __init__(self, options: argparse.Namespace):
        self.o = options
        self.device = torch.device(options.device)
        self.path = os.path.join(options.out, "checkpoint.pt")
        os.makedirs(options.out, exist_ok=True)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # inputs of float32 products are bfloat16 values: TF32 takes them exactly
            torch._dynamo.config.recompile_limit = 64
        self.stop = threading.Event()
        self.earlier: list[dict] = []  # what the stages before this one were told and how far they went
        self.step, self.tokens, self.elapsed = 0, 0, 0.0
        content = self._load_model()
        self.model.to(self.device)
        print("kernels:", self.model.choose_kernels(self.device), flush=True)
        self.model.set_fp8_aware(options.fp8_aware is not None and options.fp8_aware <= 0.0)
        self.fp8_on = options.fp8_aware is not None and options.fp8_aware <= 0.0
        if options.stage == "warmup":
            self.model.requires_grad_(False)
            for p in self.model.indexer_parameters():
                p.requires_grad_(True)
        self.optimizers = Optimizers(self.model, options.stage, options.muon_lr, options.adam_lr, options.indexer_lr, options.router_lr, options.weight_decay, options.muon_decay)
        state = None
        if content:
            self.optimizers.load_state_dict(content["optimizers"])
            self.step, self.tokens, self.elapsed, state = content["step"], content["tokens"], content["elapsed"], content["data"]
            checkpoint.restore_random_state(content["random"])
        self.reader = Reader(self._data_options(), state, self.stop)
        self.data_state = state
        self.validation = self.reader.validation()
        self.total_tokens = None

    def _data_options(self) -> DataOptions:
        o = self.o
        return DataOptions(o.data, o.batch_tokens, grid=o.stage != "dense", follow=o.follow, held_out=o.held_out, longest=o.longest, seed=o.seed, passes=o.passes,
                           start_shard=o.start_shard, vocab_size=self.model.config.vocab_size)

    def _load_model(self) -> dict | None:
        """Sets the model; returns the run to continue, if there is one."""
        o, dtype = self.o, torch.bfloat16 if self.o.dtype == "bf16" else torch.float32
        if o.resume and os.path.exists(self.path):
            content = checkpoint.load(self.path)
            if content["stage"] != o.stage:
                raise ValueError(f"{self.path}: holds stage {content['stage']}; wanted: {o.stage}")
            self.model = checkpoint.model_from(content, dtype)
            self.earlier = content.get("earlier", [])
            return content
        if os.path.exists(self.path) and not o.overwrite:
            raise ValueError(f"{self.path}: found a checkpoint of an earlier run; accepted: --resume to continue it, --overwrite to begin anew, or another --out")
        torch.manual_seed(o.seed)
        if o.init:
            content = checkpoint.load(o.init)
            self.model = checkpoint.model_from(content, dtype)
            self.earlier = checkpoint.stages(content)
        elif o.config:
            manifest = read_manifest(o.data)
            size = o.vocab_size or manifest.get("vocabulary_size") or manifest.get("vocab_size")
            self.model = Model(load_config(o.config, **({"vocab_size": int(size)} if size else {})), dtype)
            self.model.initialise(o.seed)
        else:
            raise ValueError("a model is needed: --config, --init, or --resume with a checkpoint")
        return None

    def fraction(self) -> float:
        """Elapsed share of the budget: the furthest of time, tokens and, once known, the data's end."""
        o = self.o
        if self.total_tokens is None and not o.delete_consumed:
            self.total_tokens = self.reader.shards.tokens_on_disk()
        shares = [self.elapsed / o.seconds] if o.seconds else []
        shares += [self.tokens / o.tokens] if o.tokens else []
        if self.total_tokens and not o.start_shard:
            shares.append(self.tokens / (o.passes * self.total_tokens))
        return min(1.0, max(shares))

    def done(self) -> bool:
        o = self.o
        return bool((o.seconds and self.elapsed >= o.seconds) or (o.tokens and self.tokens >= o.tokens))

    def last_step(self, tokens: int) -> bool:
        """Whether a step of so many tokens, as long as the average one, uses the budget up."""
        o = self.o
        by_time = o.seconds and self.elapsed + self.elapsed / max(1, self.step) >= o.seconds
        return bool(by_time or (o.tokens and self.tokens + tokens >= o.tokens))

    def losses(self, batches: list, measure: bool) -> StepStatistics:
        """Forward and backward of one step's micro-batches; all figures stay on the device."""
        statistics = StepStatistics(batches)
        for batch in batches:
            out = self.model(batch, self.o.stage, measure)
            total = 0.0
            if self.o.stage != "warmup":
                loss, _ = self.model.loss(out.hidden, batch)
                total = loss / max(1, statistics.loss_tokens)
            else:
                with torch.no_grad():
                    loss = self.model.loss(out.hidden, batch)[0] if measure else None
            if out.balance and self.o.stage != "warmup" and self.o.balance_weight:
                total = total + self.o.balance_weight * torch.stack(out.balance).sum() / len(batches)
            if out.kl:
                total = total + self.o.kl_weight * torch.stack(out.kl).sum() / len(batches)
            total.backward()
            statistics.add(loss, out)
        return statistics

    def choose_compiled(self, batches: list) -> None:
        """Tries to compile all parts, then fewer; a trial step shows what works. It leaves no trace in weights or optimiser."""
        levels = (set(),) if self.o.no_compile or self.device.type != "cuda" else COMPILED
        for parts in levels:
            try:
                self.model.compile_parts(parts)
                self.losses(batches[:1], False)
                for batch in {batch.grid: batch for batch in self.validation if batch.grid}.values():
                    self.losses([batch.to(self.device)], False)  # one of each shape, so that none is compiled later
                validate(self.model, self.validation[:1], self.o.stage, self.device)
                break
            except Exception as error:
                if isinstance(error, torch.OutOfMemoryError) or not parts:
                    raise
                print(f"compiling {sorted(parts)} failed, trying less: {type(error).__name__}: {str(error)[:2000]}", flush=True)
                torch._dynamo.reset()
        self.model.zero_grad(set_to_none=True)
        print("compiled:", sorted(parts) or "nothing", flush=True)

    def save(self) -> None:
        checkpoint.save(self.path, self.model, stage=self.o.stage, optimizers=self.optimizers.state_dict(), step=self.step, tokens=self.tokens,
                        elapsed=self.elapsed, data=self.data_state, options={k: v for k, v in vars(self.o).items()}, earlier=self.earlier)
        if self.o.delete_consumed:
            for path in self._consumed():
                os.remove(path)

    def _consumed(self) -> list[str]:
        """Shards that lie there and that a checkpoint of now would not need."""
        paths = [self.reader.shards.path(shard) for shard in range(1, (self.data_state or {}).get("oldest", 0))]
        return [path for path in paths if os.path.exists(path)]

    def _waiting(self) -> None:
        """No batch for a while: the generator may be waiting for shards to go, and those go only with a checkpoint."""
        if not self.o.delete_consumed:
            return
        if self._consumed():
            self.save()
        else:
            print(f"waiting for {self.reader.shards.path(self.reader.shard)}; all shards from {self.reader.oldest_shard()} on, and the first, are still needed. "
                  "A generator that waits for shards to go must be allowed more of them", flush=True)

    def run(self) -> None:
        o = self.o
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self.stop.set())
        prefetch = Prefetch(self.reader, pin=self.device.type == "cuda")
        pending = self._next(prefetch)
        if not pending:
            if self.stop.is_set():
                print("stopped before the first batch", flush=True)
                return
            raise ValueError(f"{o.data}: no documents to train on")
        self.choose_compiled(pending)
        log = Log(o.out, self.model.config, o.stage, append=self.step > 0)
        finished = self.done()
        begin, saved, profiler = time.monotonic() - self.elapsed, time.monotonic(), None
        while pending and not self.stop.is_set() and not finished:
            finished = self.last_step(sum(batch.tokens for batch in pending))
            fraction = self.fraction()
            factor = schedule(fraction, self.step, o.warmup_steps, o.decay_share)
            if o.fp8_aware is not None and not self.fp8_on and fraction >= o.fp8_aware:
                self.fp8_on = True
                self.model.set_fp8_aware(True)
            if o.profile and self.step == 10:
                profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA])
                profiler.__enter__()
            measuring = self.step % o.log_every == 0 or finished or prefetch.ended()
            self.optimizers.set_factor(factor)
            statistics = self.losses(pending, measuring)
            self.optimizers.step(o.clip)
            if o.stage != "warmup" and statistics.loads is not None:
                for layer, load in zip([x for x in self.model.model.layers if hasattr(x.mlp, "gate")], statistics.loads.unbind(0)):
                    layer.mlp.gate.balance(load, o.balance_rate * factor)
            self.step += 1
            self.tokens += statistics.tokens
            self.data_state = pending[-1].state
            log.count(statistics)
            if profiler and self.step == 10 + o.profile:
                torch.cuda.synchronize()
                profiler.__exit__(None, None, None)
                print(profiler.key_averages().table(sort_by="self_cuda_time_total", row_limit=15, max_name_column_width=70), flush=True)
                profiler = None
            pending = [] if finished else self._next(prefetch)
            self.elapsed = time.monotonic() - begin
            if measuring or not pending:
                figures, scores = log.figures(statistics), {}
                if self.step % o.validate_every == 0 or not pending or (self.step - 1) % o.validate_every == 0:
                    scores = validate(self.model, self.validation, o.stage, self.device)
                log.write(dict(step=self.step, tokens=self.tokens, seconds=round(self.elapsed, 2), lr_factor=round(factor, 5),
                               data_wait_s=round(prefetch.waited, 2), dropped=self.reader.dropped), {**figures, **scores})
            if time.monotonic() - saved > 60 * o.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
                log.pause()
        stopped = self.stop.is_set() and not finished  # closing sets it too
        self.save()
        prefetch.close()
        log.close()
        print(f"{'stopped' if stopped else 'done'}: step {self.step}, {self.tokens / 1e6:.2f} M tokens, {self.elapsed:.0f} s; {self.path}", flush=True)

    def _next(self, prefetch: Prefetch) -> list:
        """Micro-batches of the next step on the device; empty at the end of the data. The copies overlap the running step."""
        batches = []
        for _ in range(self.o.accumulate):
            batch = prefetch.get(self._waiting)
            if batch is None:
                break
            batches.append(batch.to(self.device))
        return batches


if __name__ == "__main__":
    Trainer(parse_arguments()).run()
