"""The small parts: linear maps over float32 master weights, norms, the two rotary layouts, the plain MLP.

Activations have the compute type (bfloat16 on a GPU, float32 in the tests); weights are float32 and are rounded to the compute type
where they are used, so a checkpoint exported in that type is the model that was trained.
"""

import torch
import torch.nn.functional as F
from torch import nn

from fp8 import fake_quantise


class Linear(nn.Module):
    """y = x W^T, W [out, in]. `fp8` says that the exported weight may be stored in FP8, `fp8_aware` that training sees that."""

    def __init__(self, inputs: int, outputs: int, fp8: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.fp8 = fp8
        self.fp8_aware = False

    def used_weight(self, dtype: torch.dtype) -> torch.Tensor:
        weight = fake_quantise(self.weight) if self.fp8_aware else self.weight
        return weight.to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.used_weight(x.dtype))


class RMSNorm(nn.Module):
    """w * x / rms(x) with float32 statistics."""

    def __init__(self, size: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        return (self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps))).to(x.dtype)


class LayerNorm(nn.Module):
    """The indexer's key norm: mean-subtracting, with weight and bias, float32 inside."""

    def __init__(self, size: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x.float(), self.weight.shape, self.weight, self.bias, self.eps).to(x.dtype)


class MLP(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.gate_proj = Linear(size, width)
        self.up_proj = Linear(size, width)
        self.down_proj = Linear(width, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = F.silu(self.gate_proj(x).float()) * self.up_proj(x).float()
        return self.down_proj(inner.to(x.dtype))


def rotary_table(positions: int, dim: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin, each [positions, dim/2] float32."""
    frequency = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    angle = torch.arange(positions, dtype=torch.float32)[:, None] * frequency[None, :]
    return angle.cos(), angle.sin()


def rotate_pairs(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """MLA's rotary layout: dims (2j, 2j+1) turn together. x [N, heads, dim], cos and sin [N, dim/2]."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)


def rotate_halves(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The indexer's rotary layout: dims (j, j + dim/2) turn together. x [N, heads, dim], cos and sin [N, dim/2]."""
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1).to(x.dtype)
