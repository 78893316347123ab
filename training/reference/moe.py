"""Mixture of experts: sigmoid router with a bias that balances the load, routed experts as one grouped product, a shared expert."""

import torch
import torch.nn.functional as F
from torch import nn

from config import ModelConfig
from fp8 import fake_quantise
from layers import MLP


class Router(nn.Module):
    """Chooses experts by sigmoid score plus bias, weighs them by the score alone.

    The bias has no gradient: `balance` moves it after each step towards equal load. The weight is rounded to the compute type, as
    it is exported, and multiplied in float32.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x [N, hidden] to weights float32 [N, K], expert numbers int64 [N, K] and scores float32 [N, experts]."""
        c = self.config
        scores = F.linear(x.float(), self.weight.to(x.dtype).float()).sigmoid()
        choice = scores.detach() + self.e_score_correction_bias
        if c.n_group > 1:
            groups = choice.unflatten(-1, (c.n_group, -1))
            kept = groups.topk(2, dim=-1).values.sum(-1).topk(c.topk_group, dim=-1).indices
            allowed = torch.zeros_like(choice[:, : c.n_group]).scatter(1, kept, 1.0).bool()
            choice = groups.masked_fill(~allowed[..., None], float("-inf")).flatten(-2)
        experts = choice.topk(c.num_experts_per_tok, dim=-1).indices
        # A sum over a one-hot in place of gather: its gradient needs no atomic additions.
        chosen = F.one_hot(experts, c.n_routed_experts).to(scores.dtype)
        weights = (chosen * scores[:, None, :]).sum(-1)
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return weights * c.routed_scaling_factor, experts, scores

    @torch.no_grad()
    def balance(self, load: torch.Tensor, rate: float) -> None:
        """load [experts]: tokens that each expert got in the last step."""
        self.e_score_correction_bias += rate * torch.sign(load.mean() - load)


class _Spread(torch.autograd.Function):
    """x [N, C] to the sorted copies [N*K, C]; the gradient is a gather as well, since the inverse order is known."""

    @staticmethod
    def forward(ctx, x, order, inverse, k):
        ctx.save_for_backward(inverse)
        ctx.k = k
        return x[order // k]

    @staticmethod
    def backward(ctx, gradient):
        (inverse,) = ctx.saved_tensors
        return gradient[inverse].unflatten(0, (-1, ctx.k)).sum(1), None, None, None


class _Gather(torch.autograd.Function):
    """Sorted copies [N*K, C] back to [N*K, C] in token order."""

    @staticmethod
    def forward(ctx, y, order, inverse):
        ctx.save_for_backward(order)
        return y[inverse]

    @staticmethod
    def backward(ctx, gradient):
        (order,) = ctx.saved_tensors
        return gradient[order], None, None


def product_loop(x: torch.Tensor, weight: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Rows ends[e-1]..ends[e] of x [M, in] times weight[e]^T; weight [E, out, in]. Plain; needs the ends on the host."""
    parts, start = [], 0
    for expert, end in enumerate(ends.tolist()):
        parts.append(F.linear(x[start:end], weight[expert]))
        start = end
    return torch.cat(parts)


def product_grouped(x: torch.Tensor, weight: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """The same as one kernel."""
    return torch._grouped_mm(x, weight.transpose(-2, -1), offs=ends)


def grouped_works(device: torch.device) -> bool:
    """Whether the grouped product gives the loop's values and gradients here, ragged and empty groups included."""
    if device.type != "cuda":
        return False
    try:
        generator = torch.Generator(device).manual_seed(1)
        x = torch.randn(300, 128, device=device, dtype=torch.bfloat16, generator=generator)
        w = torch.randn(4, 256, 128, device=device, dtype=torch.bfloat16, generator=generator)
        ends = torch.tensor([37, 37, 155, 300], device=device, dtype=torch.int32)
        results = []
        for product in (product_loop, product_grouped):
            a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
            y = product(a, b, ends)
            (y.float() * torch.arange(1, 257, device=device)).sum().backward()
            results.append((y, a.grad, b.grad))
        return all(torch.allclose(p.float(), q.float(), rtol=0.05, atol=0.05 * p.float().abs().max().item()) for p, q in zip(*results))
    except Exception as error:  # whatever this build lacks, the loop replaces it
        print(f"grouped product unavailable, experts run one by one: {error}")
        return False


class Experts(nn.Module):
    """gate_up_proj [E, 2I, hidden] (gate first), down_proj [E, hidden, I]: as transformers holds them in memory."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        e, i, h = config.n_routed_experts, config.moe_intermediate_size, config.hidden_size
        self.gate_up_proj = nn.Parameter(torch.empty(e, 2 * i, h))
        self.down_proj = nn.Parameter(torch.empty(e, h, i))
        self.fp8_aware = False
        self.grouped = False

    def used_weights(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        gate_up, down = self.gate_up_proj, self.down_proj
        if self.fp8_aware:
            # gate and up are two tensors on disk, so their blocks must not mix.
            gate_up = fake_quantise(gate_up.unflatten(1, (2, -1))).flatten(1, 2)
            down = fake_quantise(down)
        return gate_up.to(dtype), down.to(dtype)

    def forward(self, x: torch.Tensor, weights: torch.Tensor, experts: torch.Tensor) -> torch.Tensor:
        """x [N, hidden], weights and experts [N, K] to float32 [N, hidden]."""
        k, count = experts.shape[-1], self.gate_up_proj.shape[0]
        flat = experts.flatten()
        order = torch.sort(flat.to(torch.uint8 if count <= 256 else torch.int32), stable=True).indices
        inverse = torch.empty_like(order).scatter_(0, order, torch.arange(order.numel(), device=order.device))
        ends = (flat[:, None] == torch.arange(count, device=flat.device)).sum(0).cumsum(0).to(torch.int32)
        product = product_grouped if self.grouped else product_loop
        gate_up, down = self.used_weights(x.dtype)
        gate, up = product(_Spread.apply(x, order, inverse, k), gate_up, ends).chunk(2, dim=-1)
        inner = (F.silu(gate.float()) * up.float()).to(x.dtype)
        out = _Gather.apply(product(inner, down, ends), order, inverse)
        return (out.unflatten(0, (-1, k)).float() * weights[..., None]).sum(1)


class MoE(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)
        self.shared_experts = MLP(config.hidden_size, config.moe_intermediate_size * config.n_shared_experts)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x [N, hidden], valid [N] (0 for padding) to [N, hidden], the load float32 [experts] and the balance loss (1 when even).

        The balance loss is DeepSeek-V3's, over the batch: experts x sum of (share of the choices x mean of the normalised scores).
        """
        weights, experts, scores = self.gate(x)
        one_hot = experts[..., None] == torch.arange(self.gate.weight.shape[0], device=x.device)
        load = (one_hot & valid[:, None, None].bool()).sum((0, 1)).float()
        chosen = load / load.sum().clamp_min(1)
        mean = ((scores / scores.sum(-1, keepdim=True)) * valid[:, None]).sum(0) / valid.sum().clamp_min(1)
        return (self.experts(x, weights, experts) + self.shared_experts(x).float()).to(x.dtype), load, load.shape[0] * (chosen * mean).sum()
