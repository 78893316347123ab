"""Model FLOPs, for the MFU. Recomputation, padding and the optimiser do not count."""

from config import ModelConfig

PEAK_BF16 = 989e12  # dense bfloat16 of one H100 SXM


def active_weights(config: ModelConfig) -> int:
    """Weights of the matrix products that one token goes through, without embedding, head and indexer."""
    c = config
    attention = c.hidden_size * (c.q_lora_rank + c.kv_lora_rank + c.qk_rope_head_dim)
    attention += c.num_attention_heads * (c.q_lora_rank * c.qk_head_dim + c.kv_lora_rank * (c.qk_nope_head_dim + c.v_head_dim) + c.v_head_dim * c.hidden_size)
    dense = 3 * c.hidden_size * c.intermediate_size
    experts = 3 * c.hidden_size * c.moe_intermediate_size * (c.num_experts_per_tok + c.n_shared_experts) + c.hidden_size * c.n_routed_experts
    first = min(c.first_k_dense_replace, c.num_hidden_layers)
    return c.num_hidden_layers * attention + first * dense + (c.num_hidden_layers - first) * experts


def training_flops(config: ModelConfig, tokens: int, loss_tokens: int, squares: int) -> float:
    """Forward and backward: 6 a weight and token, and causal attention at the real lengths (squares = sum of length^2)."""
    attention = config.num_hidden_layers * config.num_attention_heads * (config.qk_head_dim + config.v_head_dim) * squares  # 2 x half the square
    return 6.0 * (active_weights(config) * tokens + config.hidden_size * config.vocab_size * loss_tokens) + 3.0 * attention
