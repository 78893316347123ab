#!/usr/bin/env python3
"""Checks constrained decoding against Python's jsonschema, which knows nothing of ours.

  constraint_peer_test.py --tests build/release/gauntlet_tests     random schemas: random tokens by our masks must give valid documents, and
                                                                   valid documents in the order of the schema must be accepted token by token
  … --suite FOLDER                                                 also the JSON Schema test suite (a checkout of json-schema-org/JSON-Schema-Test-Suite)

Makes the virtual environment --venv on its first run. Exit status: 0 if all is well, 77 if the environment could not be made (then it prints
"skipped: …"), 1 if anything differs.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # the source folder stays as it is
from peer_environment import make_venv  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77
PACKAGES = ["jsonschema[format-nongpl]==4.26.0"]
PEER_CASE = "walks through a folder's schemas are written for another validator when a folder is named"
# Files of the suite whose keywords are supported, at least in part.
SUITE = """additionalProperties allOf anyOf boolean_schema const default defs enum exclusiveMaximum exclusiveMinimum infinite-loop-detection items
maxItems maxLength maxProperties maximum minItems minLength minProperties minimum oneOf pattern prefixItems properties ref required type
optional/ecmascript-regex optional/format/date optional/format/date-time optional/format/time optional/format/uuid optional/format/email
optional/format/ipv4 optional/format/hostname optional/format/uri""".split()


class Schemas:
    """Random schemas of what is supported, and random documents that satisfy them, with properties in the schema's order."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def schema(self, depth=3):
        rng = self.rng
        kinds = ["null", "boolean", "integer", "number", "string", "enum", "const"] + (["array", "object", "object", "anyOf", "oneOf", "allOf", "types", "tuple", "ref", "map"] if depth > 0 else [])
        return getattr(self, "make_" + rng.choice(kinds).replace("null", "none"))(depth)

    def top(self):
        schema = self.schema()
        if not isinstance(schema, dict) or "$defs" in schema:
            return schema
        schema["$defs"] = {"small": self.schema(0), "tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}, "leaf": self.schema(0)}, "required": ["leaf"]}}
        return schema

    def make_none(self, depth):
        return {"type": "null", "title": "nothing"}

    def make_boolean(self, depth):
        return {"type": "boolean"}

    def bounds(self, draw):
        out = {}
        low, high = sorted([draw(), draw()])
        if self.rng.random() < 0.6:
            out["minimum"] = low
        elif self.rng.random() < 0.5:
            out["exclusiveMinimum"] = low - 1
        if self.rng.random() < 0.6:
            out["maximum"] = high
        elif self.rng.random() < 0.5:
            out["exclusiveMaximum"] = high + 1
        return out

    def make_integer(self, depth):
        scale = self.rng.choice([5, 100, 100000])
        return {"type": "integer", **self.bounds(lambda: self.rng.randrange(-scale, scale))}

    def make_number(self, depth):
        scale, digits = self.rng.choice([1, 50, 10000]), self.rng.choice([0, 1, 3])
        return {"type": "number", **self.bounds(lambda: round(self.rng.uniform(-scale, scale), digits))}

    PATTERNS = [r"^[a-z]+$", r"^[A-Z]{2}-\d{3,4}$", r"^(cat|dog)s?$", r"^\w+@\w+\.(com|org)$", r"x", r"^a", r"z$", r"^[^\s]{1,5}$", r"^(ab|a)*b?$", r"^#[0-9a-fA-F]{6}$", r"^-?\d+(\.\d+)?$", r"^$|^q+$", r"[\u00e0-\u00ff]{2}",
                r"^\"[^\"\\]*\"$"]

    def make_string(self, depth):
        rng = self.rng
        out = {"type": "string"}
        kind = rng.random()
        if kind < 0.3:
            low = rng.randrange(0, 8)
            if rng.random() < 0.7:
                out["minLength"] = low
            if rng.random() < 0.7:
                out["maxLength"] = low + rng.randrange(0, 20)
        elif kind < 0.6:
            out["pattern"] = rng.choice(self.PATTERNS)
            if rng.random() < 0.2:
                out["maxLength"] = 12
        elif kind < 0.8:
            out["format"] = rng.choice(["date", "time", "date-time", "uuid", "email", "ipv4", "hostname", "uri"])
        return out

    def make_enum(self, depth):
        values = [self.rng.choice(["red", "gr\u00fcn", "a\"b", "", "x\ny", 1, -2.5, None, True, [], {"k": [1, "v"]}, "\u65e5\u672c"]) for _ in range(self.rng.randrange(1, 6))]
        return {"enum": [v for i, v in enumerate(values) if json.dumps(v) not in map(json.dumps, values[:i])]}

    def make_const(self, depth):
        return {"const": self.rng.choice(["fixed", 7, None, {"a": {"b": []}}, [1, [2]]])}

    def make_array(self, depth):
        low = self.rng.randrange(0, 3)
        out = {"type": "array", "items": self.schema(depth - 1)}
        if self.rng.random() < 0.5:
            out["minItems"] = low
        if self.rng.random() < 0.6:
            out["maxItems"] = low + self.rng.randrange(0, 4)
        return out

    def make_tuple(self, depth):
        out = {"type": "array", "prefixItems": [self.schema(depth - 1) for _ in range(self.rng.randrange(1, 4))]}
        out["items"] = self.rng.choice([False, self.schema(0)])
        if self.rng.random() < 0.5:
            out["minItems"] = len(out["prefixItems"])
        if self.rng.random() < 0.5 and out["items"] is not False:
            out["maxItems"] = len(out["prefixItems"]) + 2
        return out

    def make_object(self, depth):
        rng = self.rng
        names = rng.sample(["id", "name", "na\u00efve", "with space", "q\"uote", "x", "xy", "tags", "a/b"], rng.randrange(0, 6))
        out = {"type": "object", "properties": {name: self.schema(depth - 1) for name in names}, "required": [n for n in names if rng.random() < 0.5]}
        if rng.random() < 0.5:
            out["additionalProperties"] = False
        return out

    def make_map(self, depth):
        return {"type": "object", "properties": {"known": self.schema(0)}, "additionalProperties": self.schema(0)}

    def make_anyOf(self, depth):
        return {"anyOf": [self.schema(depth - 1) for _ in range(self.rng.randrange(1, 4))], "description": "one of several"}

    def make_oneOf(self, depth):
        return {"oneOf": [{"type": "object", "properties": {"kind": {"const": kind}, "value": self.schema(depth - 1)}, "required": ["kind", "value"]} for kind in ["a", "b", "c"][:self.rng.randrange(1, 4)]] + [{"type": "null"}]}

    def make_allOf(self, depth):
        return {"allOf": [{"type": "object", "properties": {"a": self.schema(0)}, "required": ["a"]}, {"properties": {"b": self.schema(depth - 1)}}]}

    def make_types(self, depth):
        types = self.rng.sample(["null", "boolean", "integer", "string", "array"], self.rng.randrange(1, 4))
        return {"type": types, "maxLength": 5, "minimum": 0, "items": self.schema(0), "maxItems": 2}

    def make_ref(self, depth):
        return {"$ref": "#/$defs/" + self.rng.choice(["small", "tree"])}

    # Documents ---------------------------------------------------------------------------------------------------------------------

    STRINGS = ["", "a", "hello world", "na\u00efve caf\u00e9", "\u65e5\u672c\u8a9e", "\U0001F600", "tab\there", "quote\"d", "back\\slash", "x" * 30, "abc", "zz", "Az09", "qqq", "cats", "dog", "AB-123", "a_1@b.com", "#00ffAA", "-12.5",
               "\u00e9\u00e9", "ab", "\"plain\"", "2024-02-29", "12:30:00Z", "2024-12-31T23:59:59.5+01:00", "123e4567-e89b-12d3-a456-426614174000", "a.b@example.org", "10.0.255.1", "host-1.example", "https://example.org/a?b=c#d", "aab", "z"]

    def document(self, schema, root, depth=0):
        """A value by the schema's own words; it may turn out not to be valid."""
        rng = self.rng
        if schema is True or schema == {}:
            return rng.choice([None, 1, "s", [1], {"k": "v"}])
        if schema is False or depth > 12:
            return None
        if "$ref" in schema:
            return self.document(root["$defs"][schema["$ref"].split("/")[-1]], root, depth + 1)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self.document(rng.choice(schema[word]), root, depth + 1)
        if "allOf" in schema:
            out = {}
            for part in schema["allOf"]:
                out.update(self.document({"type": "object", **part}, root, depth + 1))
            return out
        kind = schema["type"] if isinstance(schema["type"], str) else rng.choice(schema["type"])
        if kind == "null":
            return None
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "integer":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -10))
            high = schema.get("maximum", schema.get("exclusiveMaximum", low + 20))
            return rng.randrange(int(low), int(max(low, high)) + 1)
        if kind == "number":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -10))
            high = schema.get("maximum", schema.get("exclusiveMaximum", low + 20))
            return rng.choice([low, high, round(rng.uniform(low, high), 3), int(rng.uniform(low, high))])
        if kind == "string":
            return rng.choice(self.STRINGS)
        if kind == "array":
            prefix = schema.get("prefixItems", [])
            items = schema.get("items", True)
            low = schema.get("minItems", 0)
            size = rng.randrange(low, max(low, schema.get("maxItems", low + 3)) + 1)
            if items is False:
                size = min(size, len(prefix))
            return [self.document(prefix[i] if i < len(prefix) else items, root, depth + 1) for i in range(size)]
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        out = {name: self.document(value, root, depth + 1) for name, value in properties.items() if name in required or rng.random() < 0.5}
        if isinstance(schema.get("additionalProperties"), dict):
            for name in rng.sample(["other", "zz top", "\u00fc"], rng.randrange(0, 3)):
                out[name] = self.document(schema["additionalProperties"], root, depth + 1)
        return out


def written(value, rng):
    """As models write JSON: compact, with spaces, or over lines."""
    return rng.choice([json.dumps(value, ensure_ascii=False, separators=(",", ":")), json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent=2)])


def validator_of(schema):
    import jsonschema

    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def small_float(value):
    """Whether every number is spelled without an exponent and within the digits that are ever written."""
    if isinstance(value, float):
        text = repr(value)
        return not (value == int(value) and abs(value) >= 1e15) and re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", text) is not None and text not in ("-0.0",)
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 10**18
    if isinstance(value, (list, dict)):
        return all(map(small_float, value.values() if isinstance(value, dict) else value))
    return True


def ask(tests, items):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "schemas.json").write_text(json.dumps(items), encoding="utf-8")
        done = subprocess.run([str(tests), f"--test-case={PEER_CASE}"], env={**os.environ, "GAUNTLET_CONSTRAINT_PEER": str(folder)}, capture_output=True, text=True)
        if done.returncode != 0 or not (folder / "answers.jsonl").exists():
            raise SystemExit(f"FAILED: {tests} gave no answers:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        return [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").split("\n") if line]


def random_schemas(tests, count):
    maker = Schemas(5)
    items, wanted = [], []
    for _ in range(count):
        schema = maker.top()
        validator = validator_of(schema)
        documents = []
        for _ in range(40):
            value = maker.document(schema, schema)
            if len(documents) < 8 and small_float(value) and validator.is_valid(value):
                documents.append(written(value, maker.rng))
        items.append({"schema": schema, "documents": documents, "walks": 6})
    problems, refused, walks, cut, accepted = [], 0, 0, 0, 0
    for item, answer in zip(items, ask(tests, items), strict=True):
        if "error" in answer:
            refused += 1
            # Nothing may be refused for being unsupported: only for having no document.
            if "no finite text" not in answer["error"] or item["documents"]:
                problems.append(f"refused: {answer['error']}: {json.dumps(item['schema'])}")
            continue
        validator = validator_of(item["schema"])
        for text in answer["walks"]:
            walks += 1
            if text is None:
                cut += 1
                continue
            try:
                error = next(validator.iter_errors(json.loads(text)), None)
            except ValueError as invalid:
                error = invalid
            if error is not None:
                problems.append(f"walk: {text[:300]!r}: {str(error)[:300]}: {json.dumps(item['schema'])}")
        for text, good in zip(item["documents"], answer["accepted"], strict=True):
            accepted += good
            if not good:
                problems.append(f"not accepted: {text!r}: {json.dumps(item['schema'])}")
    print(f"random schemas: {count}, of which {refused} have no document; {walks} random walks ({cut} cut short), {accepted} documents accepted: {'ok' if not problems else f'FAILED ({len(problems)})'}")
    for problem in problems[:12]:
        print(f"  {problem}")
    return not problems and cut * 20 < walks


def suite(tests, folder):
    """Sound: no invalid document is accepted and no walk is invalid. Valid documents that are not written (other order, further properties, other
    spelling) are counted."""
    items, origin = [], []
    for name in SUITE:
        for group in json.loads((folder / "tests" / "draft2020-12" / f"{name}.json").read_text(encoding="utf-8")):
            texts = [(json.dumps(test["data"], ensure_ascii=False), test) for test in group["tests"]]
            # Python's \s and \w are not ECMA-262's, so that jsonschema cannot judge walks there.
            items.append({"schema": group["schema"], "documents": [text for text, _ in texts], "walks": 0 if name == "optional/ecmascript-regex" else 3})
            origin.append((name, group, [test for _, test in texts]))
    counts, problems, narrower, reasons = collections.Counter(), [], collections.Counter(), collections.Counter()
    for item, answer, (name, group, tests_of) in zip(items, ask(tests, items), origin, strict=True):
        if "error" in answer:
            counts["schemas refused"] += 1
            counts["tests of refused schemas"] += len(tests_of)
            reasons[re.sub(r"\"[^\"]*\"|/\S*|\d+", "…", answer["error"])[:110]] += 1
            continue
        counts["schemas compiled"] += 1
        validator = validator_of(item["schema"])
        for text in answer["walks"]:
            if text is None:
                continue
            counts["walks"] += 1
            if not validator.is_valid(json.loads(text)):
                problems.append(f"{name}: {group['description']}: walk {text[:200]!r}")
        for test, good in zip(tests_of, answer["accepted"], strict=True):
            if test["valid"] == good:
                counts["valid accepted" if good else "invalid refused"] += 1
            elif good:
                problems.append(f"{name}: {group['description']}: accepted the invalid {json.dumps(test['data'])[:200]}")
            else:
                counts["valid not written"] += 1
                narrower[name] += 1
    print(f"JSON Schema test suite: {dict(counts)}: {'ok' if not problems else f'FAILED ({len(problems)})'}")
    print(f"  valid documents that are not written, by file: {dict(narrower)}")
    for reason, times in reasons.most_common(25):
        print(f"  refused {times}: {reason}")
    for problem in problems[:20]:
        print(f"  {problem}")
    return not problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=pathlib.Path, required=True, help="the test program")
    parser.add_argument("--schemas", type=int, default=400, help="random schemas")
    parser.add_argument("--suite", type=pathlib.Path, help="a checkout of the JSON Schema test suite")
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / ".venv" / "jsonschema")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        good = random_schemas(arguments.tests, arguments.schemas)
        if arguments.suite:
            good = suite(arguments.tests, arguments.suite) and good
        return 0 if good else 1
    python = make_venv(arguments.venv, PACKAGES, " ".join(PACKAGES))
    if python is None:
        return SKIPPED
    return subprocess.run([str(python), __file__, "--inside", *sys.argv[1:]]).returncode


if __name__ == "__main__":
    sys.exit(main())
