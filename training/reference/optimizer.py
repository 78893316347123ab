"""Muon for the hidden matrices, AdamW for the rest, and the schedule of both."""

import math

import torch

from model import Model

# Quintic iteration whose fixed interval holds every singular value near 1 after five steps from [0.01, 1].
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(x: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest semi-orthogonal matrices, roughly: singular values go to about 1. x [B, R, C] with R <= C."""
    a, b, c = NEWTON_SCHULZ
    x = x.to(torch.bfloat16) if x.is_cuda else x
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True).to(x.dtype) * 1.02 + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(-2, -1)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def as_matrices(p: torch.Tensor, name: str) -> list[torch.Tensor]:
    """The matrices that a parameter holds, as views: one, or one an expert (gate and up apart)."""
    if name.endswith("gate_up_proj"):
        return list(p.unflatten(1, (2, -1)).flatten(0, 1).unbind(0))
    return list(p.unbind(0)) if p.dim() == 3 else [p]


class Muon(torch.optim.Optimizer):
    """Momentum, Nesterov, then orthogonalised updates; matrices of one shape (or its transpose) go through one batched iteration."""

    def __init__(self, named: list, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__([p for _, p in named], dict(lr=lr, momentum=momentum, weight_decay=weight_decay))
        self.names = [name for name, _ in named]
        shapes: dict[tuple, list] = {}
        for name, p in named:
            for index, matrix in enumerate(as_matrices(p, name)):
                rows, cols = matrix.shape
                shapes.setdefault((min(rows, cols), max(rows, cols)), []).append((name, index, rows > cols))
        self.parameters_by_name = dict(named)
        self.shapes = shapes
        self.buffers = {}
        self.scales = {}
        for shape, members in shapes.items():
            members.sort(key=lambda member: member[2])  # wide ones first, so that both kinds are slices of the stack
            device = named[0][1].device
            self.buffers[shape] = torch.zeros(len(members), *shape, device=device)
            # sqrt(max(1, rows / cols)) of the matrix as it stands: only tall ones are scaled up.
            scale = [math.sqrt(shape[1] / shape[0]) if tall else 1.0 for _, _, tall in members]
            self.scales[shape] = torch.tensor(scale, device=device).view(-1, 1, 1)

    @torch.no_grad()
    def step(self, closure=None):
        group = self.param_groups[0]
        views = {name: as_matrices(p, name) for name, p in self.parameters_by_name.items()}
        grads = {name: as_matrices(p.grad, name) for name, p in self.parameters_by_name.items() if p.grad is not None}
        if len(grads) != len(views):
            raise RuntimeError("a matrix has no gradient")
        for shape, members in self.shapes.items():
            parts = [[grads[n][i] for n, i, tall in members if tall == kind] for kind in (False, True)]
            gradient = torch.cat(([torch.stack(parts[0])] if parts[0] else []) + ([torch.stack(parts[1]).mT] if parts[1] else []))
            buffer = self.buffers[shape]
            buffer.lerp_(gradient, 1 - group["momentum"])
            update = orthogonalise(gradient.lerp(buffer, group["momentum"])).float() * self.scales[shape]
            targets = [views[n][i] for n, i, _ in members]
            if group["weight_decay"]:
                torch._foreach_mul_(targets, 1 - group["lr"] * group["weight_decay"])
            # Contiguous like the weights: one fused kernel for all of them.
            wide, tall = update[: len(parts[0])], update[len(parts[0]) :].mT.contiguous()
            torch._foreach_add_(targets, [*wide.unbind(0), *tall.unbind(0)], alpha=-group["lr"])

    def state_dict(self):
        return {"buffers": {f"{r}x{c}": b for (r, c), b in self.buffers.items()}}

    def load_state_dict(self, state):
        for (r, c), buffer in self.buffers.items():
            buffer.copy_(state["buffers"][f"{r}x{c}"])


def is_hidden_matrix(name: str, p: torch.Tensor) -> bool:
    apart = ("embed_tokens", "lm_head", ".indexer.", "mlp.gate.")
    return p.dim() >= 2 and not any(part in name for part in apart)


class Optimizers:
    """Both optimisers of a stage, with one schedule."""

    def __init__(self, model: Model, stage: str, muon_lr: float, adam_lr: float, indexer_lr: float, router_lr: float = 2e-4, weight_decay: float = 0.0, muon_decay: float = 0.0):
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        # In the dense stage the indexer gets no gradient; it begins with the warm-up.
        matrices = [(n, p) for n, p in named if is_hidden_matrix(n, p)]
        indexer = [p for n, p in named if ".indexer." in n] if stage != "dense" else []
        router = [p for n, p in named if ".mlp.gate." in n]
        rest = [(n, p) for n, p in named if not is_hidden_matrix(n, p) and ".indexer." not in n and ".mlp.gate." not in n]
        groups = [dict(params=[p for n, p in rest if p.dim() >= 2], lr=adam_lr, weight_decay=weight_decay),
                  dict(params=[p for n, p in rest if p.dim() < 2], lr=adam_lr, weight_decay=0.0),
                  dict(params=router, lr=router_lr, weight_decay=0.0), dict(params=indexer, lr=indexer_lr, weight_decay=0.0)]
        groups = [g for g in groups if g["params"]]
        fused = next(model.parameters()).is_cuda
        self.all = [torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, fused=fused)]
        if matrices:
            self.all.append(Muon(matrices, lr=muon_lr, weight_decay=muon_decay))
        self.base = [[group["lr"] for group in o.param_groups] for o in self.all]
        self.clipped = [p for g in groups for p in g["params"]]

    def set_factor(self, factor: float) -> None:
        for optimizer, base in zip(self.all, self.base):
            for group, lr in zip(optimizer.param_groups, base):
                group["lr"] = lr * factor

    def step(self, clip: float) -> None:
        if clip > 0:
            torch.nn.utils.clip_grad_norm_(self.clipped, clip, foreach=True)
        for optimizer in self.all:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list:
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states: list) -> None:
        for optimizer, state in zip(self.all, states):
            optimizer.load_state_dict(state)


def schedule(fraction: float, step: int, warmup_steps: int, decay_share: float) -> float:
    """Factor of the learning rates: up over the first steps, constant, then linear to zero over the last share of the budget."""
    up = min(1.0, (step + 1) / max(1, warmup_steps))
    down = min(1.0, max(0.0, (1.0 - fraction) / decay_share)) if decay_share > 0 else 1.0
    return min(up, down)
