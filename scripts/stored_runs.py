"""What kill_test.py and disk_full_test.py share: a store with tasks, runs of `gauntlet bench` on it, and what must hold of them."""

import json
import os
import pathlib
import sqlite3
import subprocess

FAULTS = "('model_fault', 'environment_fault', 'time_limit', 'cancelled')"


class Failed(Exception):
    """Something that must hold does not."""


def must(condition, message):
    if not condition:
        raise Failed(message)


class Runs:
    """Runs of one agent over the tasks of a store, always with the same configuration."""

    def __init__(self, gauntlet, folder, tasks, repeats, agent):
        self.gauntlet = os.path.abspath(gauntlet)
        self.folder = pathlib.Path(folder)
        self.base = self.folder / "base.db"
        self.options = ["--model", agent, "--run", "r", "--repeats", str(repeats), "--in-flight", "4", "--ack"]
        self.requested = tasks * repeats
        command = [self.gauntlet, "synth", "trip_planning", "--count", str(tasks), "--difficulty", "1", "--seed", "5", "--random-tries", "100", "--db", str(self.base)]
        done = subprocess.run(command, capture_output=True, text=True)
        must(done.returncode == 0, f"synth ended with {done.returncode}: {done.stderr}")

    def fresh(self, path):
        """A store with tasks and no episodes."""
        pathlib.Path(path).write_bytes(self.base.read_bytes())
        return path

    def command(self, path, *more):
        return [self.gauntlet, "bench", "--db", str(path), *self.options, *more]

    def finish(self, path, *more):
        """Runs to the end, and gives what was acknowledged."""
        done = subprocess.run(self.command(path, *more), capture_output=True, text=True)
        must(done.returncode == 0, f"bench ended with {done.returncode}: {done.stderr}")
        return acknowledged(done.stdout)

    def check(self, path, acks):
        """After any end of a run: the store is sound, holds all that was acknowledged, and nothing twice. Gives what it holds."""
        with sqlite3.connect(path, timeout=30) as store:
            result = store.execute("PRAGMA integrity_check").fetchone()[0]
            must(result == "ok", f"integrity_check: {result}")
            must(not store.execute("PRAGMA foreign_key_check").fetchall(), "foreign keys are broken")
            stored = {tuple(row) for row in store.execute("SELECT task_id, sample, attempt FROM episodes")}
            twice = store.execute(f"SELECT task_id, sample FROM episodes WHERE stop NOT IN {FAULTS} GROUP BY 1, 2 HAVING count(*) > 1").fetchall()
            must(not twice, f"played twice: {twice[:3]}")
            parts = store.execute("SELECT count(*) FROM episodes e WHERE message_count != (SELECT count(*) FROM messages m WHERE m.episode_id = e.episode_id) "
                                  "OR NOT EXISTS (SELECT 1 FROM scores s WHERE s.episode_id = e.episode_id)").fetchone()[0]
            must(parts == 0, f"{parts} episodes are stored in part")
        store.close()
        lost = acks - stored
        must(not lost, f"{len(lost)} acknowledged episodes are lost, for example {sorted(lost)[0] if lost else ''}")
        return stored

    def contents(self, path):
        """Every finished episode without its times, by slot."""
        with sqlite3.connect(path, timeout=30) as store:
            episodes = {}
            columns = ("run_id, task_id, sample, attempt, seed, stop, fault_class, answer, prompt_tokens, completion_tokens, cost, steps, tool_calls, "
                       "tool_errors, malformed_calls, message_count")
            for number, *row in store.execute(f"SELECT episode_id, {columns} FROM episodes WHERE stop NOT IN {FAULTS}").fetchall():
                messages = store.execute("SELECT position, role, content, reasoning, tool_calls, tool_call_id, tool_name FROM messages WHERE episode_id = ? ORDER BY position", (number,))
                score = store.execute("SELECT scored, value, unscored_reason, summary FROM scores WHERE episode_id = ?", (number,))
                parts = store.execute("SELECT position, constraint_text, holds, explanation FROM score_components WHERE episode_id = ? ORDER BY position", (number,))
                episodes[row[1], row[2]] = (row, messages.fetchall(), score.fetchall(), parts.fetchall())
        store.close()
        return episodes


def acknowledged(output):
    """The slots of whole lines; the last line may be cut off."""
    lines = output.split("\n")[:-1]
    stored = [json.loads(line)["stored"] for line in lines if line.startswith('{"stored"')]
    return {(one["task_id"], one["sample"], one["attempt"]) for one in stored}
