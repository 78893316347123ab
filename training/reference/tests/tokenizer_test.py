import json
import os
import pathlib
import tempfile
import unittest

import support  # noqa: F401  (makes the trainer's modules visible)

try:
    import make_tokenizer
except ImportError:
    make_tokenizer = None


@unittest.skipIf(make_tokenizer is None, "needs the package tokenizers")
class Texts(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        for name, first in (("text-00001.jsonl", 10), ("text-00000.jsonl", 0), ("other.jsonl", 20)):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                for i in range(first, first + 10):
                    file.write(json.dumps({"pieces": [{"text": f"<think>Fly {i} to</think>"}, {"text": "Oslo"}]}) + "\n")

    def read(self, names, most=100, shuffle=None):
        return make_tokenizer.documents(make_tokenizer.text_files([os.path.join(self.folder, n) for n in names]), most, shuffle)

    def test_a_folder_gives_its_numbered_files_in_order_and_files_come_as_named(self):
        numbers = [int(json.loads(line)["pieces"][0]["text"].split()[1]) for line in self.read([""])]
        self.assertEqual(numbers, list(range(20)))
        self.assertEqual(self.read(["text-00000.jsonl", "text-00001.jsonl"]), self.read([""]))
        self.assertEqual(len(self.read(["", "other.jsonl"], most=25)), 25)
        for missing in ("absent.jsonl", "empty"):
            os.makedirs(os.path.join(self.folder, "empty"), exist_ok=True)
            with self.assertRaisesRegex(FileNotFoundError, f"{missing}: found no texts"):
                self.read([missing])

    def test_a_seed_gives_one_order_that_takes_from_all_files(self):
        once = self.read([""], 10, 1)
        self.assertEqual(once, self.read([""], 10, 1))
        self.assertNotEqual(once, self.read([""], 10, 2))
        self.assertTrue(set(once) - set(self.read([""], 10)))
        self.assertLess(set(once), set(self.read([""])))

    def test_special_strings_are_no_part_of_the_learnt_text_and_stay_whole(self):
        lines = self.read([""])
        self.assertEqual(list(make_tokenizer.pieces(lines))[:3], ["Fly 0 to", "Oslo", "Fly 1 to"])
        tokenizer = make_tokenizer.build(512, make_tokenizer.pieces(lines))
        path = pathlib.Path(self.folder) / "tokenizer.json"
        tokenizer.save(str(path))
        self.assertEqual(tokenizer.encode("<think>17").tokens, ["<think>", "1", "7"])


if __name__ == "__main__":
    unittest.main()
