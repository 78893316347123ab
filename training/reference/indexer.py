"""The lightning indexer, the exact selection, and what the indexer learns from.

Grids: B documents padded to T tokens, documents start at multiples of T in the flat token axis N = B * T. Padding stands behind a
document's tokens, so the causal mask keeps every real query away from it; only the loss has to know which queries are real.
"""

import torch
import torch.nn.functional as F
from torch import nn

from config import ModelConfig
from layers import LayerNorm, Linear, rotate_halves


class Indexer(nn.Module):
    """I[t, s] = sum_j w[t, j] relu(q[t, j] . k[s]): one cheap score for each pair of tokens, for all heads of the attention."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.heads, self.dim, self.rope = config.index_n_heads, config.index_head_dim, config.qk_rope_head_dim
        self.wq_b = Linear(config.q_lora_rank, self.heads * self.dim)
        self.wk = Linear(config.hidden_size, self.dim)
        self.k_norm = LayerNorm(self.dim)
        self.weights_proj = Linear(config.hidden_size, self.heads, fp8=False)

    def _rotated(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Turns the FIRST rope dims of each head (MLA turns the last ones). x [N, heads, dim]."""
        turned, kept = x.split([self.rope, self.dim - self.rope], dim=-1)
        return torch.cat((rotate_halves(turned, cos, sin), kept), dim=-1)

    def forward(self, h: torch.Tensor, latent: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """h [N, hidden] (normed input of the attention), latent [N, q_lora] (after its norm) to scores float32 [B, T, T], no mask.

        The dot products take inputs in the compute type and add up in float32, as the engines do.
        """
        b, t = grid
        q = self._rotated(self.wq_b(latent).unflatten(-1, (self.heads, self.dim)), cos, sin)
        k = self._rotated(self.k_norm(self.wk(h))[:, None, :], cos, sin)
        dots = torch.matmul(q.reshape(b, t * self.heads, self.dim).float(), k.reshape(b, t, self.dim).float().transpose(1, 2))
        weights = F.linear(h.float(), self.weights_proj.used_weight(h.dtype).float()) * (self.heads**-0.5 * self.dim**-0.5)
        return (F.relu(dots.view(b, t, self.heads, t)) * weights.view(b, t, self.heads, 1)).sum(2)


def causal_mask(t: int, device: torch.device) -> torch.Tensor:
    """[T, T], True where query t may see position s."""
    return torch.ones(t, t, dtype=torch.bool, device=device).tril()


def select(scores: torch.Tensor, k: int) -> torch.Tensor:
    """The k best causal positions of each query as a mask [B, T, T]; equal scores go to the earlier position.

    A query has no special right to its own position. Exact zeros are common (every dot product negative), so ties matter.
    """
    t = scores.shape[-1]
    causal = causal_mask(t, scores.device)
    if t <= k:
        return causal.expand(scores.shape)
    scores = scores.masked_fill(~causal, float("-inf"))
    least = scores.topk(k, dim=-1).values[..., -1:]
    above = scores > least
    ties = scores == least
    room = k - above.sum(-1, keepdim=True, dtype=torch.int32)
    return (above | (ties & (ties.cumsum(-1, dtype=torch.int32) <= room))) & causal


@torch.no_grad()
def attention_target(q: torch.Tensor, k: torch.Tensor, scale: float, allowed: torch.Tensor) -> torch.Tensor:
    """Attention probabilities summed over heads and L1-normalised. q, k [B, H, T, D], allowed [(B,) T, T] to float32 [B, T, T].

    One head at a time: only one [B, T, T] is alive beside the sum.
    """
    total = None
    for head in range(q.shape[1]):
        logits = torch.matmul(q[:, head].float(), k[:, head].float().transpose(-1, -2)) * scale
        part = logits.masked_fill(~allowed, float("-inf")).softmax(-1)
        total = part if total is None else total + part
    return total / q.shape[1]


def kl_to_scores(target: torch.Tensor, scores: torch.Tensor, allowed: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean over real queries of KL(target || softmax of the scores over the allowed positions); target has no gradient.

    target, scores [B, T, T] float32; valid [B, T].
    """
    log_q = scores.masked_fill(~allowed, float("-inf")).log_softmax(-1)
    inside = allowed & (target > 0)
    terms = torch.where(inside, target * (target.clamp_min(1e-30).log() - torch.where(inside, log_q, 0.0)), 0.0)
    weight = valid.float()
    return (terms.sum(-1) * weight).sum() / weight.sum().clamp_min(1.0)


@torch.no_grad()
def recall_of_mass(dense: torch.Tensor, selected: torch.Tensor, valid: torch.Tensor, k: int) -> torch.Tensor:
    """Share of the dense attention mass within the selection, over real queries with more than k positions: [sum, queries]."""
    counted = valid.bool() & (torch.arange(dense.shape[-1], device=dense.device) >= k)
    mass = (dense * selected).sum(-1)
    return torch.stack(((mass * counted).sum(), counted.sum().float()))
