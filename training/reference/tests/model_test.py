import unittest

import torch

from support import DEVICES, random_document, random_model

from attention import attend_one_by_one, attend_varlen, varlen_works
from batch import make_grid, make_pack
from indexer import kl_to_scores, select
from moe import grouped_works, product_grouped, product_loop


class Packing(unittest.TestCase):
    def test_a_changed_document_leaves_the_others_in_the_pack_as_they_were(self):
        model = random_model()
        documents = [random_document(n, n) for n in (40, 25, 33)]
        with torch.no_grad():
            before = model(make_pack(documents, 128, 8, 16)).hidden
            documents[1] = random_document(25, 99)
            after = model(make_pack(documents, 128, 8, 16)).hidden
        # Not bit for bit: other rows of the experts' products move.
        torch.testing.assert_close(before[:40], after[:40], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(before[65:98], after[65:98], rtol=1e-5, atol=1e-5)
        self.assertFalse(torch.allclose(before[40:65], after[40:65], atol=0.1))

    def test_a_pack_and_a_grid_give_each_document_the_same_hidden_states(self):
        model = random_model()
        documents = [random_document(n, n) for n in (40, 25, 64)]
        with torch.no_grad():
            pack, grid = model(make_pack(documents, 160, 8, 16)).hidden, model(make_grid(documents, 64, 192, 16)).hidden
        for start, row, length in ((0, 0, 40), (40, 64, 25), (65, 128, 64)):
            torch.testing.assert_close(pack[start : start + length], grid[row : row + length], rtol=1e-4, atol=1e-5)

    def test_the_loss_is_taken_where_the_next_token_is_to_be_learnt(self):
        batch = make_pack([random_document(10, 3), random_document(8, 4)], 32, 4, 16)
        count = batch.loss_tokens
        self.assertEqual(batch.loss_index[:count].tolist(), [4, 5, 6, 7, 8, 13, 14, 15, 16])
        self.assertTrue(torch.equal(batch.input_ids[batch.loss_index[:count] + 1], batch.loss_target[:count]))
        self.assertEqual(float(batch.loss_weight.sum()), count)

    def test_one_kernel_for_all_documents_equals_one_call_each(self):
        if "cuda" not in DEVICES:
            self.skipTest("needs a GPU")
        self.assertTrue(varlen_works(torch.device("cuda")))
        q, k = (torch.randn(100, 4, 64, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        v = torch.randn(100, 4, 32, device="cuda", dtype=torch.bfloat16)
        starts = torch.tensor([0, 30, 100, 100], device="cuda", dtype=torch.int32)
        torch.testing.assert_close(attend_varlen(q, k, v, starts, 128, 0.125), attend_one_by_one(q, k, v, starts, 0.125), rtol=0.02, atol=0.02)


class Sparse(unittest.TestCase):
    def test_a_selection_of_everything_equals_dense_attention(self):
        model = random_model(index_topk=64)
        batch = make_grid([random_document(50, 1), random_document(64, 2)], 64, 128, 16)
        with torch.no_grad():
            dense, sparse = model(batch, "dense").hidden, model(batch, "sparse").hidden
        torch.testing.assert_close(dense, sparse, rtol=1e-4, atol=1e-5)

    def test_a_small_selection_differs_from_dense_attention(self):
        model = random_model()
        batch = make_grid([random_document(64, 2)], 64, 64, 16)
        with torch.no_grad():
            self.assertFalse(torch.allclose(model(batch, "dense").hidden, model(batch, "sparse").hidden, atol=1e-2))

    def test_equal_scores_go_to_the_earlier_position_and_rows_get_exactly_k(self):
        scores = torch.tensor([1.0, 2.0, 2.0, 2.0, 0.0]).expand(1, 5, 5)
        self.assertEqual(select(scores, 2)[0].int().tolist(), [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0]])
        scores = torch.relu(torch.randn(2, 40, 40, generator=torch.Generator().manual_seed(1)))
        self.assertEqual(select(scores, 7).sum(-1).tolist(), [[min(i + 1, 7) for i in range(40)]] * 2)

    def test_the_kl_is_zero_for_scores_that_are_the_logarithm_of_the_target(self):
        allowed = torch.ones(6, 6, dtype=torch.bool).tril()
        scores = torch.randn(1, 6, 6)
        target = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
        valid = torch.ones(1, 6, dtype=torch.bool)
        self.assertAlmostEqual(float(kl_to_scores(target, scores, allowed, valid)), 0.0, places=5)
        self.assertGreater(float(kl_to_scores(target, scores * 3, allowed, valid)), 0.01)

    def test_the_kl_reaches_the_indexer_alone_and_the_loss_everything_else(self):
        for stage in ("warmup", "sparse"):
            model = random_model()
            batch = make_grid([random_document(64, 2), random_document(50, 3)], 64, 128, 16)
            out = model(batch, stage)
            torch.stack(out.kl).sum().backward()
            for name, p in model.named_parameters():
                reached = p.grad is not None and bool(p.grad.abs().max() > 0)
                self.assertEqual(reached, ".indexer." in name, f"{stage}: {name}")
        model = random_model()
        out = model(batch, "sparse")
        model.loss(out.hidden, batch)[0].backward()
        for name, p in model.named_parameters():
            reached = p.grad is not None and bool(p.grad.abs().max() > 0)
            self.assertEqual(reached, ".indexer." not in name, name)

    def test_recall_is_complete_when_the_selection_holds_all_but_little(self):
        model = random_model(index_topk=60)
        with torch.no_grad():
            out = model(make_grid([random_document(64, 2)], 64, 64, 16), "sparse", measure=True)
        mass, queries = torch.stack(out.recall).unbind(-1)
        self.assertEqual(queries.tolist(), [4.0, 4.0, 4.0])
        self.assertTrue(bool((mass / queries > 0.5).all()) and bool((mass / queries <= 1.0001).all()))


class Experts(unittest.TestCase):
    def products(self, product, device):
        generator = torch.Generator().manual_seed(2)
        x = torch.randn(48, 64, generator=generator).to(device, torch.bfloat16).requires_grad_()
        w = torch.randn(4, 32, 64, generator=generator).to(device, torch.bfloat16).requires_grad_()
        y = product(x, w, torch.tensor([10, 10, 31, 48], dtype=torch.int32, device=device))
        (y.float() ** 2).sum().backward()
        return y, x.grad, w.grad

    def test_the_grouped_product_equals_the_loop(self):
        for device in DEVICES:
            if device == "cuda":
                self.assertTrue(grouped_works(torch.device("cuda")))
            for loop, grouped in zip(self.products(product_loop, device), self.products(product_grouped, device)):
                torch.testing.assert_close(loop, grouped, rtol=0.02, atol=0.02 * float(loop.detach().abs().max()))

    def test_the_balance_loss_is_one_for_an_even_load_and_more_for_a_collapsed_one(self):
        moe = random_model().model.layers[1].mlp
        x, valid = torch.randn(4000, moe.gate.weight.shape[1]), torch.ones(4000, dtype=torch.bool)
        with torch.no_grad():
            moe.gate.e_score_correction_bias.zero_()
            moe.gate.weight.normal_(std=0.02)
            even = float(moe(x, valid)[2])
            moe.gate.weight[0] = 0.5
            collapsed = float(moe(x.abs(), valid)[2])
        self.assertAlmostEqual(even, 1.0, delta=0.02)
        self.assertGreater(collapsed, 1.2)

    def test_sorted_experts_equal_a_plain_sum_over_each_token_s_experts(self):
        model = random_model()
        moe = model.model.layers[1].mlp
        x = torch.randn(20, 64, generator=torch.Generator().manual_seed(3), requires_grad=True)
        weights, experts, _ = moe.gate(x)
        out = moe.experts(x, weights, experts)
        gate_up, down = moe.experts.used_weights(torch.float32)
        rows = []
        for token in range(20):
            total = 0
            for weight, expert in zip(weights[token], experts[token]):
                gate, up = (gate_up[expert] @ x[token]).chunk(2)
                total = total + weight * (down[expert] @ (torch.nn.functional.silu(gate) * up))
            rows.append(total)
        plain = torch.stack(rows)
        torch.testing.assert_close(out, plain, rtol=1e-4, atol=1e-5)
        seed = torch.randn_like(out)
        torch.testing.assert_close(torch.autograd.grad((out * seed).sum(), x, retain_graph=True)[0], torch.autograd.grad((plain * seed).sum(), x)[0], rtol=1e-3, atol=1e-4)

    def test_the_bias_moves_towards_even_load(self):
        gate = random_model().model.layers[1].mlp.gate
        before = gate.e_score_correction_bias.clone()
        gate.balance(torch.tensor([8.0, 0, 4, 4, 4, 4, 4, 4]), 0.01)
        torch.testing.assert_close(gate.e_score_correction_bias - before, torch.tensor([-0.01, 0.01, 0, 0, 0, 0, 0, 0]))


if __name__ == "__main__":
    unittest.main()
