"""Trains the byte-level BPE tokenizer of the built-in model on texts of `gauntlet export tokens --text`.

Digits stand alone, so that numbers are read digit by digit. A word that begins with a capital, with the space before it, is a word of its own:
names are made of such words and so have the same tokens wherever they stand. All that lies between is one piece, however long: what the
format and the templates repeat (a call's frame, a clause) becomes a token or two.

    python make_tokenizer.py --text TEXTS --shuffle 1 --vocab 4096 --out DIR
"""

import argparse
import json
import pathlib
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

# Ids 0 and 1 are the beginning and the end of a sentence, as in DeepSeek's own tokenizer.
SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "｜DSML｜"]


def build(vocab: int, texts) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
        pre_tokenizers.Split(Regex(r" ?\p{Lu}+[\p{Ll}']*"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def text_files(names: list[str]) -> list[pathlib.Path]:
    """The files themselves, and of a folder its text-*.jsonl in the order of their names."""
    files = []
    for name in map(pathlib.Path, names):
        found = sorted(name.glob("text-*.jsonl")) if name.is_dir() else [name]
        if not found or not found[0].is_file():
            raise FileNotFoundError(f"{name}: found no texts; accepted: a file of JSON lines, or a folder of text-*.jsonl")
        files += found
    return files


def documents(files: list[pathlib.Path], most: int, shuffle: int | None) -> list[str]:
    """The first `most` lines of all files, after shuffling by that seed if there is one."""
    lines = []
    for path in files:
        with open(path, encoding="utf-8") as file:
            lines += [line for line in file if line.strip()]
    if shuffle is not None:
        random.Random(shuffle).shuffle(lines)
    return lines[:most]


def pieces(lines: list[str]):
    """The texts between the special strings, as encoding will see them."""
    for line in lines:
        for piece in json.loads(line)["pieces"]:
            parts = [piece["text"]]
            for special in SPECIAL:
                parts = [part for text in parts for part in text.split(special)]
            yield from (part for part in parts if part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, nargs="+", help="what `gauntlet export tokens --text` wrote: files of JSON lines, or its folder")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="take the documents in a random order, the same for the same seed and texts")
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--documents", type=int, default=3000, help="read at most so many")
    parser.add_argument("--out", required=True, help="folder for tokenizer.json and tokenizer_config.json")
    options = parser.parse_args()
    if not 512 <= options.vocab <= 8192:
        parser.error(f"--vocab: found {options.vocab}; accepted: 512 to 8192")
    try:
        files = text_files(options.text)
    except FileNotFoundError as error:
        parser.error(f"--text: {error}")
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build(options.vocab, pieces(documents(files, options.documents, options.shuffle)))
    tokenizer.save(str(out / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "pad_token": SPECIAL[2], "model_max_length": 8192,
              "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False}
    (out / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{tokenizer.get_vocab_size()} entries in {out / 'tokenizer.json'}")


if __name__ == "__main__":
    main()
