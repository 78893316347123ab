#!/usr/bin/env python3
"""Reads exported files with other people's software: validates every row with jsonschema and loads every file with Hugging Face
datasets (torch-free).

  datasets_peer_test.py --program build/release/gauntlet         makes tasks, plays them and exports them first
  datasets_peer_test.py --tests build/release/gauntlet_tests     the test program writes sample exports first
  datasets_peer_test.py --exports DIR                            DIR holds rl_superset/, rl_nemo_gym/, sft_messages/, sft_sharegpt/

Several may be given. Makes a virtual environment (--venv, with the packages of requirements.txt) on its first run. Exit status: 0 if
all is well, 1 if a reader found fault, 77 if the environment could not be made (then it prints "skipped: ...").
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # the source folder stays as it is
from peer_environment import make_venv  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
SAMPLE_CASE = "the four exports are written for other readers when a folder is named"
FORMATS = ["rl_superset", "rl_nemo_gym", "sft_messages", "sft_sharegpt"]
SKIPPED = 77


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def check_rows(name, rows):
    import jsonschema

    schema = json.loads((ROOT / "datasets" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    return [f"row {number}: {error.json_path}: {error.message[:200]}"
            for number, row in enumerate(rows) for error in validator.iter_errors(row)]


def without_nulls(value):
    """Arrow gives all structs of a list the same fields and fills in None; loaders strip these again."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def check_loading(name, files, rows_of):
    import datasets

    problems = []
    # NeMo Gym's rows hold tool schemas as objects, which columns cannot take as they are; their own loaders read the lines.
    compare_values = name != "rl_nemo_gym"
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset("json", data_files={split: str(path) for split, path in files.items()}, cache_dir=cache)
        for split, rows in rows_of.items():
            if len(loaded[split]) != len(rows):
                problems.append(f"{split}: datasets has {len(loaded[split])} rows, the file {len(rows)}")
            elif compare_values:
                problems += [f"{split} row {number}: datasets gives another value"
                             for number, row in enumerate(rows) if without_nulls(loaded[split][number]) != row]
        if len({str(part.features) for part in loaded.values()}) != 1:
            problems.append("the splits have different column types")
        joined = datasets.concatenate_datasets(list(loaded.values()))
        if joined.num_rows != sum(len(rows) for rows in rows_of.values()):
            problems.append("the splits do not concatenate")
    return problems


def check_sharegpt(rows):
    """The rules of LLaMA-Factory's converter and formatter."""
    problems = []
    for number, row in enumerate(rows):
        turns = row["conversations"]
        odd, even = ("human", "observation"), ("gpt", "function_call")
        if len(turns) % 2 or any(turn["from"] not in (odd, even)[at % 2] for at, turn in enumerate(turns)):
            problems.append(f"row {number}: turns do not alternate")
        for turn in turns:
            if turn["from"] == "function_call":
                text = turn["value"]
                if text.startswith("<think>"):
                    text = text[text.index("</think>") + len("</think>"):]
                if not all(isinstance(call["arguments"], dict) for call in json.loads(text)):
                    problems.append(f"row {number}: arguments are not objects")
        json.loads(row["tools"])
    return problems


def check_texts(name, rows):
    """Strings that hold JSON must parse."""
    texts = {"rl_superset": lambda row: [row["tools"], row["label"], row["metadata"]["spec_json"], row["reward_model"]["ground_truth"]],
             "rl_nemo_gym": lambda row: [row["verifier_metadata"]["ground_truth"]],
             "sft_messages": lambda row: [row["tools"]],
             "sft_sharegpt": lambda row: [row["tools"]]}[name]
    for row in rows:
        for text in texts(row):
            json.loads(text)
    return []


def check_tools(name, rows):
    """Every call names a tool of the row, and its arguments are ones that the tool takes."""
    import jsonschema

    problems = []
    for number, row in enumerate(rows):
        if name in ("rl_superset", "rl_nemo_gym"):
            tools = json.loads(row["tools"]) if name == "rl_superset" else row["responses_create_params"]["tools"]
            schemas = {tool["function"]["name"] if name == "rl_superset" else tool["name"]: tool for tool in tools}
            if not schemas:
                problems.append(f"row {number}: no tools")
            continue
        if name != "sft_messages":
            continue
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in json.loads(row["tools"])}
        answered = {message["tool_call_id"] for message in row["messages"] if message["role"] == "tool"}
        calls = [call for message in row["messages"] for call in message.get("tool_calls") or []]
        last = {call["id"] for call in row["messages"][-1].get("tool_calls") or []}
        for call in calls:
            function = call["function"]
            if function["name"] not in schemas:
                problems.append(f"row {number}: the call of {function['name']} names no tool of the row")
                continue
            if call["id"] not in answered and call["id"] not in last:
                problems.append(f"row {number}: call {call['id']} has no result")
            arguments = function["arguments"]
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
            for error in jsonschema.Draft202012Validator(schemas[function["name"]]).iter_errors(arguments):
                problems.append(f"row {number}: {function['name']}: {error.message[:200]}")
    return problems


def check_leaks(name, rows):
    """Nothing that judges is shown to the model."""
    problems = []
    for number, row in enumerate(rows):
        shown = {"rl_superset": lambda: [row["prompt"], row["tools"]],
                 "rl_nemo_gym": lambda: [row["responses_create_params"]],
                 "sft_messages": lambda: [row["messages"], row["tools"]],
                 "sft_sharegpt": lambda: [row["conversations"], row["tools"]]}[name]()
        text = json.dumps(shown)
        problems += [f"row {number}: the model is shown {word}" for word in ("oracle_answer", "ground_truth", "env_sha256", "solution_count") if word in text]
    return problems


def check_exports(folder):
    failed = False
    for name in FORMATS:
        files = {split: folder / name / f"{split}.jsonl" for split in ("train", "validation") if (folder / name / f"{split}.jsonl").exists()}
        if not files:
            print(f"{name}: FAILED: no files in {folder / name}")
            failed = True
            continue
        rows_of = {split: read_rows(path) for split, path in files.items()}
        rows = [row for part in rows_of.values() for row in part]
        problems = check_rows(name, rows) + check_texts(name, rows) + check_tools(name, rows) + check_leaks(name, rows) + check_loading(name, files, rows_of)
        if name == "sft_sharegpt":
            problems += check_sharegpt(rows)
        failed = failed or bool(problems)
        print(f"{name}: {len(rows)} rows in {', '.join(files)}: " + ("ok" if not problems else "FAILED"))
        for problem in problems[:10]:
            print(f"  {problem}")
    return 1 if failed else 0


def write_program_exports(program, folder):
    """A store as users make one: several levels, a named task, an environment of one's own, two agents, a stored fault-free run."""
    store = folder / "t.db"

    def gauntlet(*words):
        done = subprocess.run([str(program), *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"gauntlet {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()}")

    for level, count in ((1, 6), (2, 6), (3, 4)):
        gauntlet("synth", "trip_planning", "--count", count, "--difficulty", level, "--random-tries", 100, "--db", store)
    gauntlet("synth", "trip_planning", "--named", "paper", "--random-tries", 100, "--db", store)
    gauntlet("synth", ROOT / "examples" / "library.json", "--count", 4, "--difficulty", 1, "--random-tries", 100, "--db", store)
    gauntlet("bench", "--db", store, "--model", "oracle", "--repeats", 2, "--run", "oracle")
    gauntlet("bench", "--db", store, "--model", "greedy", "--run", "greedy")
    for name in FORMATS:
        kind, form = name.split("_", 1)
        gauntlet("export", kind, "--format", form, "--db", store, "--out", folder / name, "--validation-share", 0.3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, help="the built gauntlet")
    parser.add_argument("--tests", type=pathlib.Path, help="the test program")
    parser.add_argument("--exports", type=pathlib.Path, help="a folder with exports")
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "build" / "peers", help="where the virtual environment is made")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not (arguments.program or arguments.tests or arguments.exports):
        parser.error("give --program, --tests or --exports")

    if not arguments.inside:
        python = make_venv(arguments.venv, ["-r", str(REQUIREMENTS)], REQUIREMENTS.read_text())
        if python is None:
            return SKIPPED
        offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        return subprocess.run([str(python), __file__, "--inside", *sys.argv[1:]], env=offline).returncode
    status = 0
    if arguments.exports:
        status |= check_exports(arguments.exports)
    if arguments.program:
        with tempfile.TemporaryDirectory() as folder:
            print("what the program exports:")
            write_program_exports(arguments.program.resolve(), pathlib.Path(folder))
            status |= check_exports(pathlib.Path(folder))
    if arguments.tests:
        with tempfile.TemporaryDirectory() as folder:
            print("the tests' sample rows:")
            written = subprocess.run([str(arguments.tests), f"--test-case={SAMPLE_CASE}"],
                                     env={**os.environ, "GAUNTLET_EXPORTS": folder}, capture_output=True, text=True)
            if written.returncode != 0:
                print(f"FAILED: {arguments.tests} could not write the sample exports:\n{written.stdout}{written.stderr}")
                return 1
            status |= check_exports(pathlib.Path(folder))
    return status


if __name__ == "__main__":
    sys.exit(main())
