"""The whole `deepseek_v32` model. Parameters are named as in the public checkpoints (experts are stacked in memory, split on disk)."""

import math
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from attention import Attention, varlen_works
from batch import Batch
from config import ModelConfig
from layers import MLP, Linear, RMSNorm, rotary_table
from moe import MoE, Experts, grouped_works

LOSS_CHUNK = 8192


class Layer(nn.Module):
    """Pre-norm attention and MLP. The methods are apart so that each can be compiled by itself."""

    def __init__(self, config: ModelConfig, dense: bool):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config.hidden_size, config.intermediate_size) if dense else MoE(config)

    def attend_packed(self, x, cos, sin, starts, longest: int):
        return x + self.self_attn.packed(self.input_layernorm(x), cos, sin, starts, longest)

    def attend_grid(self, x, cos, sin, valid, grid: tuple[int, int], stage: str, measure: bool):
        out, kl, recall = self.self_attn.on_grid(self.input_layernorm(x), cos, sin, valid, grid, stage, measure)
        return x + out, kl, recall

    def attend_warmup(self, x, cos, sin, valid, grid: tuple[int, int], stage: str, measure: bool):
        """As attend_grid with gradients for the indexer alone: x gets none, and its parameters are the only ones that ask."""
        return Layer.attend_grid(self, x.detach(), cos, sin, valid, grid, stage, measure)

    def feed_dense(self, x):
        return x + self.mlp(self.post_attention_layernorm(x))

    def feed_experts(self, x, valid):
        out, load, balance = self.mlp(self.post_attention_layernorm(x), valid)
        return x + out, load, balance


@dataclass
class Output:
    hidden: torch.Tensor  # [N, hidden], before the last norm
    loads: list = field(default_factory=list)  # of each MoE layer: float32 [experts]
    balance: list = field(default_factory=list)  # of each MoE layer: scalar, 1 when the load is even
    kl: list = field(default_factory=list)  # of each layer: scalar
    recall: list = field(default_factory=list)  # of each layer: [mass, queries]


class Backbone(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, config.is_dense(i)) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Model(nn.Module):
    def __init__(self, config: ModelConfig, dtype: torch.dtype = torch.bfloat16):
        super().__init__()
        self.config, self.dtype = config, dtype
        self.model = Backbone(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size, fp8=False)
        cos, sin = rotary_table(config.max_position_embeddings, config.qk_rope_head_dim, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Normal with deviation (3 in)^-1/2; what writes to the residual stream is smaller by (2 layers)^-1/2, the head by 10."""
        generator = torch.Generator().manual_seed(seed)
        for name, p in self.named_parameters():
            if p.dim() < 2:
                continue
            deviation = (3 * p.shape[-1]) ** -0.5
            if "o_proj" in name or "down_proj" in name:
                deviation /= math.sqrt(2 * self.config.num_hidden_layers)
            if "embed_tokens" in name:
                deviation = 0.1
            if "lm_head" in name:
                deviation *= 0.1
            p.copy_(torch.randn(p.shape, generator=generator) * deviation)

    @torch.no_grad()
    def scatter(self, generator: torch.Generator) -> None:
        """For checks: norms, biases and scores far from their first values, so that every part shows."""
        for name, p in self.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            p.copy_(noise * p.shape[-1] ** -0.5 if p.dim() > 1 else (0.1 * noise if name.endswith("bias") else 1 + 0.1 * noise))
        for name, b in self.named_buffers():
            if name.endswith("e_score_correction_bias"):
                b.copy_(0.1 * torch.randn(b.shape, generator=generator))

    def choose_kernels(self, device: torch.device) -> dict:
        """Takes the fast attention and expert kernels where they are present and right; float32 always runs the plain forms."""
        fast = self.dtype == torch.bfloat16
        chosen = {"varlen": fast and varlen_works(device), "grouped": fast and grouped_works(device)}
        for module in self.modules():
            if isinstance(module, Attention):
                module.varlen = chosen["varlen"]
            if isinstance(module, Experts):
                module.grouped = chosen["grouped"]
        return chosen

    def set_fp8_aware(self, on: bool) -> None:
        for module in self.modules():
            if isinstance(module, Experts) or (isinstance(module, Linear) and module.fp8):
                module.fp8_aware = on

    def compile_parts(self, parts: set[str]) -> None:
        """Compiles the named parts of every layer: attention, grid, mlp, experts, loss. Layers share the compiled code."""
        methods = {"attention": ["attend_packed"], "grid": ["attend_grid", "attend_warmup"], "mlp": ["feed_dense"], "experts": ["feed_experts"]}
        for layer in self.model.layers:
            for part, names in methods.items():
                for name in names:
                    layer.__dict__.pop(name, None)
                    if part in parts:
                        setattr(layer, name, torch.compile(getattr(layer, name), dynamic=False))
        self.__dict__.pop("chunk_loss", None)
        if "loss" in parts:
            self.chunk_loss = torch.compile(self.chunk_loss, dynamic=False)

    def forward(self, batch: Batch, stage: str = "dense", measure: bool = False) -> Output:
        """stage: "dense" (packs or grids), "warmup" or "sparse" (grids only)."""
        x = F.embedding(batch.input_ids, self.model.embed_tokens.weight).to(self.dtype)
        cos, sin = self.cos[batch.positions], self.sin[batch.positions]
        out = Output(x)
        for layer in self.model.layers:
            if batch.grid is None:
                if stage != "dense":
                    raise ValueError("packs are for the dense stage")
                x = layer.attend_packed(x, cos, sin, batch.starts, batch.longest)
            else:
                attend = layer.attend_warmup if stage == "warmup" else layer.attend_grid
                if measure or not torch.is_grad_enabled():
                    # Rare: not worth compiling once more for every row length.
                    attend = partial(Layer.attend_warmup if stage == "warmup" else Layer.attend_grid, layer)
                arguments = (x, cos, sin, batch.valid, batch.grid, stage, measure)
                if torch.is_grad_enabled():
                    # The [B, T, T] arrays of one layer at a time, made anew in the backward pass.
                    x, kl, recall = checkpoint(attend, *arguments, use_reentrant=False)
                else:
                    x, kl, recall = attend(*arguments)
                x = x.detach() if stage == "warmup" else x
                out.kl.append(kl)
                out.recall.append(recall)
            x = self._feed(layer, x, batch.valid, out)
        out.hidden = x
        return out

    def _feed(self, layer: Layer, x, valid, out: Output):
        if isinstance(layer.mlp, MLP):
            return layer.feed_dense(x)
        x, load, balance = layer.feed_experts(x, valid)
        out.loads.append(load.detach())
        out.balance.append(balance)
        return x

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[P, hidden] to float32 [P, vocab]; inputs in the compute type, sums in float32."""
        x = self.model.norm(hidden)
        return F.linear(x.float(), self.lm_head.used_weight(x.dtype).float())

    def chunk_loss(self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted sum of the losses, and the single ones [chunk]."""
        losses = F.cross_entropy(self.logits(hidden), targets, reduction="none")
        return (losses * weights).sum(), losses.detach()

    def loss(self, hidden: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the losses at the positions that are to be learnt, and the single ones [P]; the vocabulary is spread there only."""
        chosen = hidden.index_select(0, batch.loss_index)
        size = min(LOSS_CHUNK, chosen.shape[0])
        parts = [self.chunk_loss(*part) for part in zip(chosen.split(size), batch.loss_target.split(size), batch.loss_weight.split(size))]
        return torch.stack([total for total, _ in parts]).sum(), torch.cat([single for _, single in parts])

    def indexer_parameters(self) -> list:
        return [p for name, p in self.named_parameters() if ".indexer." in name]
