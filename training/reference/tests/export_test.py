import json
import os
import tempfile
import unittest

import torch

from support import random_document, random_model

from batch import make_grid
from export import export, last_figures, model_card
from fp8 import dequantise, fake_quantise, quantise
from reload import read_weights, reload


class Fp8(unittest.TestCase):
    def test_training_sees_exactly_what_is_stored_and_gradients_pass_through(self):
        w = (torch.randn(160, 200, generator=torch.Generator().manual_seed(1)) * 0.05).requires_grad_()
        values, scales = quantise(w.detach())
        fake = fake_quantise(w)
        self.assertTrue(torch.equal(fake, dequantise(values, scales)))
        self.assertEqual(list(scales.shape), [2, 2])
        self.assertTrue(torch.equal(torch.frexp(scales).mantissa, torch.full((2, 2), 0.5)))
        self.assertTrue(torch.equal(fake.bfloat16().float(), fake))
        self.assertLess(float(((fake - w).abs().max() / w.abs().max()).detach()), 1 / 16)
        seed = torch.randn(160, 200)
        fake.backward(seed)
        self.assertTrue(torch.equal(w.grad, seed))

    def test_blocks_along_a_side_that_128_does_not_divide_share_a_scale(self):
        w = torch.ones(160, 384)
        w[:128, :128], w[128:, 128:256] = 8.0, 4.0
        values, scales = quantise(w)
        self.assertEqual(list(scales.shape), [2, 3])
        self.assertTrue(torch.equal(scales[0], scales[1]))
        self.assertEqual(scales[0].tolist(), [8 / 256, 4 / 256, 1 / 256])
        even = values.float().unflatten(0, (2, 80)).unflatten(2, (3, 128)) * scales[:, None, :, None]  # rows / blocks to a block
        self.assertTrue(torch.equal(even.flatten(2).flatten(0, 1), dequantise(values, scales)))
        stacked = quantise(torch.stack([w, 2 * w]))[1]
        self.assertTrue(torch.equal(stacked[0], scales) and torch.equal(stacked[1], 2 * scales))
        self.assertFalse(torch.equal(*quantise(torch.cat([w[:128], torch.ones(128, 384)]))[1].unbind(0)))

    def test_the_scale_is_the_least_power_of_two_that_holds_the_block(self):
        for largest, scale in ((448.0, 1.0), (449.0, 2.0), (224.0, 0.5), (1.0, 2.0**-8)):
            self.assertEqual(float(quantise(torch.full((1, 1), largest))[1]), scale)
        self.assertTrue(torch.equal(fake_quantise(torch.zeros(3, 3)), torch.zeros(3, 3)))


class Export(unittest.TestCase):
    def test_a_folder_reloads_to_the_same_logits(self):
        model = random_model()
        batch = make_grid([random_document(64, 2)], 64, 64, 16)
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            for kind, most in (("f32", 1 << 62), ("f32", 60000)):
                path = os.path.join(folder, f"{kind}-{most}")
                names = export(model, path, kind, most=most)
                self.assertEqual(len(names) > 1, most == 60000)
                again = reload(path)
                self.assertEqual(again.config, model.config)
                self.assertTrue(torch.equal(again.logits(again(batch, "sparse").hidden), model.logits(model(batch, "sparse").hidden)))

    def test_the_tokenizer_s_own_configuration_goes_along(self):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer, out = os.path.join(folder, "tokenizer.json"), os.path.join(folder, "out")
            added = [{"id": i, "content": text} for i, text in enumerate(("<b>", "<e>"))]
            for name, value in (("tokenizer.json", {"added_tokens": added}), ("tokenizer_config.json", {"pad_token": "<p>"})):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    json.dump(value, file)
            for expected in ("pad_token", "eos_token"):
                export(random_model(), out, "f32", tokenizer)
                with open(os.path.join(out, "tokenizer_config.json"), encoding="utf-8") as file:
                    self.assertEqual(json.load(file)[expected], {"pad_token": "<p>", "eos_token": "<e>"}[expected])
                if expected == "pad_token":
                    os.remove(os.path.join(folder, "tokenizer_config.json"))

    def test_the_card_shows_one_row_of_a_log_and_the_options_of_every_stage(self):
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "log.csv")
            with open(log, "w", encoding="utf-8") as file:
                file.write("step,loss,valid_all,recall\n1,5,5.5,0.1\n3,4,4.5,0.2\n5,3,,0.3\n6,,3.5,\n")
            self.assertEqual(last_figures(log), {"step": "3", "loss": "4", "valid_all": "4.5", "recall": "0.2"})
            stage = {"step": 7, "tokens": 2_000_000, "elapsed": 9.0}
            content = {**stage, "stage": "warmup", "options": {"adam_lr": 0.25, "out": "here"}, "earlier": [{**stage, "stage": "dense", "options": {"adam_lr": 0.125}}]}
            card = model_card(random_model(), "f32", content, [log])
            for text in ("stage dense: 7 steps, 2.0 M tokens, 9 s", '"adam_lr": 0.125', "stage warmup", '"adam_lr": 0.25'):
                self.assertIn(text, card)
            self.assertNotIn("here", card.split("## Sizes")[0])
            self.assertNotIn("{{", card)

    def test_an_fp8_folder_holds_the_weights_that_fp8_aware_training_used(self):
        model = random_model()
        with tempfile.TemporaryDirectory() as folder:
            export(model, folder, "fp8")
            again, weights = reload(folder), read_weights(folder)
        model.set_fp8_aware(True)
        for (name, ours), (_, theirs) in zip(model.named_modules(), again.named_modules()):
            if hasattr(ours, "used_weight") and ours.fp8:
                self.assertTrue(torch.equal(ours.used_weight(torch.float32), theirs.weight), name)
            if hasattr(ours, "used_weights"):
                for x, y in zip(ours.used_weights(torch.float32), (theirs.gate_up_proj, theirs.down_proj)):
                    self.assertTrue(torch.equal(x, y), name)
        self.assertEqual(weights["model.layers.1.mlp.experts.3.up_proj.weight"].shape, (32, 64))


if __name__ == "__main__":
    unittest.main()
