import contextlib
import csv
import io
import os
import tempfile
import threading
import time
import unittest

import torch

from support import DEVICES, SIZES, random_document, random_model

import checkpoint
import synthetic
from batch import make_grid, make_pack
from data import DataOptions, Reader
from optimizer import Optimizers, orthogonalise, schedule
from train import Trainer, parse_arguments


def references(reader: Reader) -> list:
    seen, make = [], reader.shards.document
    reader.shards.document = lambda r: (seen.append(tuple(r)), make(r))[1]
    return seen


class Data(unittest.TestCase):
    def test_a_pass_uses_every_document_once_and_none_that_is_held_out(self):
        with tempfile.TemporaryDirectory() as folder:
            synthetic.make(folder, 3, 3000)
            for grid in (False, True):
                reader = Reader(DataOptions(folder, 512, grid=grid, held_out=5, look_ahead=20, chunk=64))
                seen, tokens = references(reader), 0
                while (batch := reader.next_batch()) is not None:
                    tokens += batch.tokens
                    self.assertEqual(batch.tokens, int(batch.valid.sum()))
                total = sum(len(reader.shards.get(i)["level"]) for i in range(3))
                self.assertEqual(len(seen), len(set(seen)))
                self.assertEqual(len(seen), total - 5)
                self.assertFalse({(0, i) for i in range(5)} & set(seen))
                held = sum(b.tokens for b in reader.validation())
                self.assertEqual(tokens + held, sum(len(reader.shards.get(i)["input_ids"]) for i in range(3)))

    def test_a_reader_continues_from_a_batch_s_state(self):
        with tempfile.TemporaryDirectory() as folder:
            synthetic.make(folder, 2, 4000)
            options = DataOptions(folder, 512, held_out=4, look_ahead=16, chunk=64)
            reader = Reader(options)
            for _ in range(4):
                state = reader.next_batch().state
            again = Reader(options, state)
            while (expected := reader.next_batch()) is not None:
                self.assertTrue(torch.equal(expected.input_ids, again.next_batch().input_ids))
            self.assertIsNone(again.next_batch())

    def test_following_waits_for_shards_until_the_manifest(self):
        with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as folder:
            synthetic.make(whole, 2, 2000)

            def arrive():
                for name in ("tokens-00000.safetensors", "tokens-00001.safetensors", "tokens.json"):
                    os.link(os.path.join(whole, name), os.path.join(folder, name))

            reader = Reader(DataOptions(folder, 512, follow=True, held_out=0, chunk=64))
            reader.shards.poll = 0.01
            thread = threading.Thread(target=arrive)
            thread.start()
            tokens = 0
            while (batch := reader.next_batch()) is not None:
                tokens += batch.tokens
            thread.join()
            self.assertEqual(tokens, sum(len(reader.shards.get(i)["input_ids"]) for i in range(2)))

    def test_ids_beyond_the_vocabulary_are_refused_with_what_was_found(self):
        with tempfile.TemporaryDirectory() as folder:
            synthetic.make(folder, 1, 2000, vocab=300)
            with self.assertRaisesRegex(ValueError, r"tokens-00000.safetensors: found ids 0 to 29\d; accepted: 0 to 255"):
                Reader(DataOptions(folder, 512, held_out=0, chunk=64, vocab_size=256)).next_batch()
            self.assertIsNotNone(Reader(DataOptions(folder, 512, held_out=0, chunk=64, vocab_size=300)).next_batch())


class Optimising(unittest.TestCase):
    def test_singular_values_go_to_about_one(self):
        x = torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(1))
        values = torch.linalg.svdvals(orthogonalise(x))
        self.assertTrue(bool((values > 0.5).all()) and bool((values < 1.5).all()))

    def test_every_parameter_belongs_to_one_optimiser_and_moves(self):
        model = random_model()
        optimizers = Optimizers(model, "sparse", 0.02, 1e-3, 1e-3)
        owned = [p for o in optimizers.all for g in o.param_groups for p in g["params"]]
        self.assertEqual(sorted(map(id, owned)), sorted(id(p) for p in model.parameters()))
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        batch = make_grid([random_document(64, 2), random_document(64, 5)], 64, 128, 16)
        out = model(batch, "sparse")
        (model.loss(out.hidden, batch)[0] + torch.stack(out.kl).sum()).backward()
        optimizers.step(1.0)
        for name, p in model.named_parameters():
            self.assertFalse(torch.equal(before[name], p), name)

    def test_the_rate_rises_stays_and_ends_at_zero(self):
        self.assertEqual([schedule(f, 100, 10, 0.5) for f in (0.0, 0.5, 0.75, 1.0)], [1.0, 1.0, 0.5, 0.0])
        self.assertEqual(schedule(0.0, 4, 10, 0.5), 0.5)


class Training(unittest.TestCase):
    def setUp(self):
        self.printed = self.enterContext(contextlib.redirect_stdout(io.StringIO()))

    def arguments(self, folder, out, stage="dense", tokens=4000, **more):
        words = ["--stage", stage, "--data", folder, "--out", out, "--tokens", str(tokens), "--batch-tokens", "512", "--held-out", "4", "--log-every", "2",
                 "--warmup-steps", "2", "--longest", "128", "--device", "cpu", "--dtype", "f32", "--checkpoint-minutes", "1000"]
        for key, value in more.items():
            words += [f"--{key.replace('_', '-')}"] + ([] if value is True else [str(value)])
        return parse_arguments(words)

    def test_a_stopped_run_continues_bit_for_bit(self):
        with tempfile.TemporaryDirectory() as folder:
            data = os.path.join(folder, "data")
            synthetic.make(data, 2, 4000, longest=100)
            whole = Trainer(self.arguments(data, os.path.join(folder, "a"), config=SIZES))
            whole.run()
            parts = Trainer(self.arguments(data, os.path.join(folder, "b"), config=SIZES))
            losses = parts.losses
            parts.losses = lambda *x: (parts.stop.set() if parts.step == 3 else None, losses(*x))[1]
            parts.run()
            self.assertLess(parts.step, whole.step)
            self.assertIn("\ndone: ", self.printed.getvalue())
            self.assertIn("\nstopped: step 4,", self.printed.getvalue())
            with self.assertRaisesRegex(ValueError, "checkpoint.pt: found a checkpoint of an earlier run; accepted: --resume"):
                Trainer(self.arguments(data, os.path.join(folder, "b"), config=SIZES))
            self.assertEqual(Trainer(self.arguments(data, os.path.join(folder, "b"), config=SIZES, overwrite=True)).step, 0)
            again = Trainer(self.arguments(data, os.path.join(folder, "b"), resume=True))
            self.assertEqual(again.step, 4)
            again.run()
            self.assertEqual(again.step, whole.step)
            for (name, a), b in zip(whole.model.state_dict().items(), again.model.state_dict().values()):
                self.assertTrue(torch.equal(a, b), name)

    def test_a_generator_that_waits_for_shards_to_be_deleted_and_the_trainer_do_not_wait_for_each_other(self):
        with tempfile.TemporaryDirectory() as folder:
            whole, data, most, given_up = os.path.join(folder, "whole"), os.path.join(folder, "data"), 3, threading.Event()
            synthetic.make(whole, 7, 1500, shortest=100, longest=120)
            os.mkdir(data)

            def shards():
                return [n for n in os.listdir(data) if n.endswith(".safetensors")]

            def generate():
                for name in sorted(os.listdir(whole), key=lambda n: (n.endswith(".json"), n)):  # the manifest last
                    while len(shards()) > most and not given_up.wait(0.01):
                        pass
                    if given_up.is_set():
                        return
                    os.rename(os.path.join(whole, name), os.path.join(data, name))

            def give_up():
                given_up.set()
                trainer.stop.set()

            generator, watch = threading.Thread(target=generate), threading.Timer(240, give_up)
            generator.start()
            trainer = Trainer(self.arguments(data, os.path.join(folder, "out"), tokens=10**9, config=SIZES, vocab_size=256, follow=True, delete_consumed=True, held_out=0, log_every=1000))
            trainer.reader.options.look_ahead, trainer.reader.shards.poll = 8, 0.01
            watch.start()
            trainer.run()
            watch.cancel()
            give_up()
            generator.join()
            self.assertTrue(os.path.exists(os.path.join(data, "tokens.json")))
            self.assertEqual(trainer.reader.shard, 7)
            self.assertIn("tokens-00000.safetensors", shards())
            self.assertNotIn("tokens-00001.safetensors", shards())

    def test_the_stages_chain_and_the_indexer_learns_in_the_warm_up_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            data, paths = os.path.join(folder, "data"), [os.path.join(folder, s) for s in ("dense", "warmup", "sparse")]
            synthetic.make(data, 2, 4000, longest=100)
            Trainer(self.arguments(data, paths[0], tokens=1500, config=SIZES)).run()
            warm = Trainer(self.arguments(data, paths[1], "warmup", 3000, init=os.path.join(paths[0], "checkpoint.pt"), indexer_lr=0.01))
            before = {n: p.detach().clone() for n, p in warm.model.named_parameters()}
            warm.run()
            for name, p in warm.model.named_parameters():
                self.assertEqual(torch.equal(before[name], p), ".indexer." not in name, name)
            with open(os.path.join(paths[1], "log.csv"), encoding="utf-8") as file:
                kl = [float(row["kl"]) for row in csv.DictReader(file)]
            self.assertLess(min(kl[-2:]), kl[0])
            with open(os.path.join(paths[1], "log.csv"), encoding="utf-8") as file:
                last = list(csv.DictReader(file))[-1]
            self.assertEqual(int(last["step"]), warm.step)
            self.assertTrue(last["recall"] and last["valid_all"] and float(last["loss"]) > 1)
            Trainer(self.arguments(data, paths[2], "sparse", 1500, init=os.path.join(paths[1], "checkpoint.pt"), fp8_aware=True)).run()
            with open(os.path.join(paths[2], "log.csv"), encoding="utf-8") as file:
                row = list(csv.DictReader(file))[0]
            self.assertTrue(row["recall"] and row["recall_2"] and row["valid_all"] and row["mfu"])
            self.assertTrue(os.path.exists(os.path.join(paths[2], "log.svg")))
            stages = checkpoint.stages(checkpoint.load(os.path.join(paths[2], "checkpoint.pt")))
            self.assertEqual([stage["stage"] for stage in stages], ["dense", "warmup", "sparse"])
            self.assertEqual([stage["options"]["tokens"] for stage in stages], [1500, 3000, 1500])

    def test_the_last_step_is_measured_whichever_budget_ends_the_run(self):
        with tempfile.TemporaryDirectory() as folder:
            data = os.path.join(folder, "data")
            synthetic.make(data, 1, 4000, longest=100)
            for name, budget in (("tokens", dict(tokens=2500)), ("seconds", dict(tokens=10**9, seconds=1.5)), ("data", dict(tokens=10**9))):
                out = os.path.join(folder, name)
                trainer = Trainer(self.arguments(data, out, "sparse", config=SIZES, log_every=1000, **budget))
                trainer.run()
                with open(os.path.join(out, "log.csv"), encoding="utf-8") as file:
                    rows = list(csv.DictReader(file))
                self.assertEqual(int(rows[-1]["step"]), trainer.step)
                self.assertTrue(rows[-1]["recall"] and rows[-1]["valid_all"], name)

    def test_a_gpu_step_gives_the_loss_and_gradients_of_the_cpu(self):
        if "cuda" not in DEVICES:
            self.skipTest("needs a GPU")
        for stage in ("dense", "sparse"):
            documents = [random_document(n, n) for n in (100, 60, 90)]
            batch = make_pack(documents, 512, 8, 64) if stage == "dense" else make_grid(documents, 128, 512, 64)
            losses, gradients = [], []
            for device, dtype in (("cpu", torch.float32), ("cuda", torch.bfloat16)):
                model = random_model(dtype=dtype, index_topk=64).to(device)
                model.choose_kernels(torch.device(device))
                moved = batch.to(torch.device(device))
                loss = model.loss(model(moved, stage).hidden, moved)[0] / batch.loss_tokens
                loss.backward()
                losses.append(float(loss))
                gradients.append(model.lm_head.weight.grad.float().cpu())
            self.assertLess(abs(losses[0] - losses[1]), 0.02 * losses[0])
            self.assertLess(float((gradients[0] - gradients[1]).norm() / gradients[0].norm()), 0.1)


if __name__ == "__main__":
    unittest.main()
