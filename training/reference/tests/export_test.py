import os
import tempfile
import unittest

import torch

from support import random_document, random_model

from batch import make_grid
from export import export
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
