"""Sizes of a `deepseek_v32` model, under the names that config.json uses."""

import dataclasses
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelConfig:
    vocab_size: int = 4096
    hidden_size: int = 384
    num_hidden_layers: int = 8
    first_k_dense_replace: int = 1
    intermediate_size: int = 1024
    num_attention_heads: int = 8
    q_lora_rank: int = 256
    kv_lora_rank: int = 128
    qk_nope_head_dim: int = 32
    qk_rope_head_dim: int = 32
    v_head_dim: int = 64
    n_routed_experts: int = 8
    num_experts_per_tok: int = 2
    n_shared_experts: int = 1
    moe_intermediate_size: int = 256
    n_group: int = 1
    topk_group: int = 1
    routed_scaling_factor: float = 1.0
    index_n_heads: int = 8
    index_head_dim: int = 64
    index_topk: int = 256
    max_position_embeddings: int = 8192
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    bos_token_id: int = 0
    eos_token_id: int = 1

    @property
    def qk_head_dim(self) -> int:
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    def is_dense(self, layer: int) -> bool:
        return layer < self.first_k_dense_replace

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)


def config_from_dict(values: dict) -> ModelConfig:
    names = {field.name for field in dataclasses.fields(ModelConfig)}
    unknown = set(values) - names
    if unknown:
        raise ValueError(f"unknown sizes: {', '.join(sorted(unknown))}")
    config = ModelConfig(**values)
    if config.n_routed_experts % config.n_group:
        raise ValueError("n_group must divide n_routed_experts")
    if config.qk_rope_head_dim % 2 or config.index_head_dim < config.qk_rope_head_dim:
        raise ValueError("qk_rope_head_dim must be even and at most index_head_dim")
    return config


def load_config(path: str, **overrides) -> ModelConfig:
    """Reads a file of sizes/; keyword arguments replace single sizes (the vocabulary comes from the data)."""
    with open(path, encoding="utf-8") as file:
        return config_from_dict({**json.load(file), **overrides})
