#!/usr/bin/env python3
"""Decoding speed of transformers' implementation of a checkpoint, to put beside `gauntlet model bench --device cuda`.

Needs torch with CUDA and transformers 5.17 or later; the checkpoint comes from `gauntlet model random`. Prints one JSON object.
"""

import argparse
import json
import statistics
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder with config.json and model.safetensors")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--context", type=int, default=128, help="tokens of the prompt")
    parser.add_argument("--steps", type=int, default=16, help="decoded tokens in one repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"])
    options = parser.parse_args()

    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16, attn_implementation=options.attention).cuda().eval()
    prompt = torch.randint(0, config.vocab_size, (options.batch, options.context), device="cuda")
    seconds = []
    with torch.inference_mode():
        out = model(prompt, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        token = out.logits[:, -1:].argmax(-1)
        for repeat in range(options.repeats + 1):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(options.steps):
                out = model(token, past_key_values=cache, use_cache=True, logits_to_keep=1)
                probabilities = torch.softmax(out.logits[:, -1].float(), -1)
                token = torch.multinomial(probabilities, 1)
            torch.cuda.synchronize()
            if repeat > 0:  # the first warms up
                seconds.append((time.perf_counter() - start) / options.steps)
    step = statistics.median(seconds)
    print(json.dumps({"implementation": type(model).__name__, "device": torch.cuda.get_device_name(), "attention": options.attention, "batch": options.batch, "context": options.context,
                      "step_seconds": step, "tokens_per_second": options.batch / step, "seconds": seconds}))


if __name__ == "__main__":
    main()
