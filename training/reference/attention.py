"""Multi-head latent attention: over packed documents (dense), over a grid (dense, warm-up, sparse)."""

import torch
import torch.nn.functional as F
from torch import nn

from config import ModelConfig
from indexer import Indexer, attention_target, causal_mask, kl_to_scores, recall_of_mass, select
from layers import Linear, RMSNorm, rotate_pairs

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # older than torch 2.10
    varlen_attn = None


def attend_one_by_one(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, starts: torch.Tensor, scale: float) -> torch.Tensor:
    """Causal attention within each document, one call a document; q, k [N, H, D], v [N, H, V] to [N, H, V]."""
    parts = []
    bounds = starts.tolist()
    for first, last in zip(bounds, bounds[1:]):
        if last > first:
            one = [x[first:last].transpose(0, 1)[None] for x in (q, k, v)]
            parts.append(F.scaled_dot_product_attention(*one, is_causal=True, scale=scale)[0].transpose(0, 1))
    return torch.cat(parts)


def attend_varlen(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, starts: torch.Tensor, longest: int, scale: float) -> torch.Tensor:
    """The same as one kernel; `starts` int32 [documents + 1] may repeat its last entry. Unequal head sizes are padded with zeros."""
    width = max(q.shape[-1], v.shape[-1])
    qp, kp, vp = (F.pad(x, (0, width - x.shape[-1])) if x.shape[-1] < width else x.contiguous() for x in (q, k, v))
    out = varlen_attn(qp, kp, vp, starts, starts, longest, longest, scale=scale, window_size=(-1, 0))
    return out[..., : v.shape[-1]]


def varlen_works(device: torch.device) -> bool:
    """Whether the one kernel gives the plain form's values and gradients here, an empty document included."""
    if device.type != "cuda" or varlen_attn is None:
        return False
    try:
        generator = torch.Generator(device).manual_seed(1)
        inputs = [torch.randn(200, 2, 64, device=device, dtype=torch.bfloat16, generator=generator) for _ in range(3)]
        starts = torch.tensor([0, 70, 200, 200, 200], device=device, dtype=torch.int32)
        results = []
        for one_kernel in (False, True):
            own = [x.clone().requires_grad_() for x in inputs]
            y = attend_varlen(*own, starts, 256, 0.125) if one_kernel else attend_one_by_one(*own, starts, 0.125)
            y.float().square().sum().backward()
            results.append([y] + [x.grad for x in own])
        return all(torch.allclose(p.float(), r.float(), rtol=0.05, atol=0.05 * p.float().abs().max().item()) for p, r in zip(*results))
    except Exception as error:  # whatever this build lacks, the plain form replaces it
        print(f"varlen attention unavailable, documents run one by one: {error}")
        return False


class Attention(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        c = self.config = config
        self.q_a_proj = Linear(c.hidden_size, c.q_lora_rank)
        self.q_a_layernorm = RMSNorm(c.q_lora_rank)
        self.q_b_proj = Linear(c.q_lora_rank, c.num_attention_heads * c.qk_head_dim)
        self.kv_a_proj_with_mqa = Linear(c.hidden_size, c.kv_lora_rank + c.qk_rope_head_dim)
        self.kv_a_layernorm = RMSNorm(c.kv_lora_rank)
        self.kv_b_proj = Linear(c.kv_lora_rank, c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim))
        self.o_proj = Linear(c.num_attention_heads * c.v_head_dim, c.hidden_size)
        self.indexer = Indexer(config)
        self.scale = c.qk_head_dim**-0.5
        self.varlen = False

    def project(self, h: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor):
        """h [N, hidden] to q, k [N, H, nope + rope], v [N, H, V] and the query latent [N, q_lora]."""
        c = self.config
        latent = self.q_a_layernorm(self.q_a_proj(h))
        q = self.q_b_proj(latent).unflatten(-1, (c.num_attention_heads, -1))
        q_nope, q_rope = q.split([c.qk_nope_head_dim, c.qk_rope_head_dim], dim=-1)
        compressed, k_rope = self.kv_a_proj_with_mqa(h).split([c.kv_lora_rank, c.qk_rope_head_dim], dim=-1)
        kv = self.kv_b_proj(self.kv_a_layernorm(compressed)).unflatten(-1, (c.num_attention_heads, -1))
        k_nope, v = kv.split([c.qk_nope_head_dim, c.v_head_dim], dim=-1)
        k_rope = rotate_pairs(k_rope[:, None, :], cos, sin).expand(-1, c.num_attention_heads, -1)
        q = torch.cat((q_nope, rotate_pairs(q_rope, cos, sin)), dim=-1)
        return q, torch.cat((k_nope, k_rope), dim=-1), v, latent

    def packed(self, h: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, starts: torch.Tensor, longest: int) -> torch.Tensor:
        """Dense attention within each document of a pack; h [N, hidden], starts int32 [documents + 1]."""
        q, k, v, _ = self.project(h, cos, sin)
        out = attend_varlen(q, k, v, starts, longest, self.scale) if self.varlen else attend_one_by_one(q, k, v, starts, self.scale)
        return self.o_proj(out.flatten(-2))

    def on_grid(self, h: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, valid: torch.Tensor, grid: tuple[int, int], stage: str, measure: bool):
        """One of: "dense"; "warmup" (dense, the indexer learns from all causal positions); "sparse" (attention sees the selection
        only, and the indexer learns within it). h [N, hidden], valid [N] to output [N, hidden], KL (scalar), recall [2].
        """
        b, t = grid
        q, k, v, latent = self.project(h, cos, sin)
        q, k, v = (x.unflatten(0, (b, t)).transpose(1, 2) for x in (q, k, v))
        causal, valid = causal_mask(t, h.device), valid.view(b, t)
        kl, recall = h.new_zeros((), dtype=torch.float32), h.new_zeros(2, dtype=torch.float32)
        if stage == "dense":
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
        else:
            # Detached: the indexer learns from the KL alone, and the KL moves nothing but the indexer.
            scores = self.indexer(h.detach(), latent.detach(), cos, sin, grid)
            selected = select(scores.detach(), self.config.index_topk)
            allowed = causal if stage == "warmup" else selected
            target = attention_target(q.detach(), k.detach(), self.scale, allowed)
            kl = kl_to_scores(target, scores, allowed, valid)
            if measure:
                dense = target if stage == "warmup" else attention_target(q.detach(), k.detach(), self.scale, causal)
                recall = recall_of_mass(dense, selected, valid, self.config.index_topk)
            if stage == "warmup":
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
            else:
                out = F.scaled_dot_product_attention(q, k, v, attn_mask=selected[:, None], scale=self.scale)
        return self.o_proj(out.transpose(1, 2).reshape(b * t, -1)), kl, recall
