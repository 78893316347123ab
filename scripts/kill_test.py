#!/usr/bin/env python3
"""Kills a running `gauntlet bench` with SIGKILL at random moments, again and again.

    scripts/kill_test.py --gauntlet build/release/gauntlet --kills 1000

After each kill: PRAGMA integrity_check is ok, every episode that was acknowledged (bench --ack) is stored, none is stored twice or in
part. Each run is resumed until it is finished; then its episodes are those of a run that nobody killed, but for their times.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import stored_runs


def kill_once(runs, store, delay):
    """Runs bench for `delay` seconds at most. Gives whether it was killed, and what it had acknowledged."""
    process = subprocess.Popen(runs.command(store), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(delay, process.kill)
    timer.start()
    output, errors = process.communicate()
    timer.cancel()
    stored_runs.must(process.returncode in (0, -9), f"bench ended with {process.returncode}: {errors}")
    return process.returncode == -9, stored_runs.acknowledged(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gauntlet", required=True, help="the built program")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--agent", default="greedy")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gauntlet-kill-") as folder:
        runs = stored_runs.Runs(options.gauntlet, folder, options.tasks, options.repeats, options.agent)
        unkilled = runs.fresh(pathlib.Path(folder) / "unkilled.db")
        start = time.monotonic()
        runs.check(unkilled, runs.finish(unkilled))
        whole = time.monotonic() - start
        expected = runs.contents(unkilled)
        stored_runs.must(len(expected) == runs.requested, f"{len(expected)} of {runs.requested} episodes")

        kills = finished = acks_seen = beyond = hot = 0
        while kills < options.kills:
            store = runs.fresh(pathlib.Path(folder) / "killed.db")
            acks = set()
            while True:
                # Past the limit the run is let finish, so that the last one is compared too.
                delay = draw.uniform(0, whole) if kills < options.kills else 600
                was_killed, fresh = kill_once(runs, store, delay)
                acks |= fresh
                journal = pathlib.Path(str(store) + "-journal")
                hot += was_killed and journal.exists() and journal.stat().st_size > 0
                stored = runs.check(store, acks)
                beyond += len(stored) > len(acks)
                kills += was_killed
                if was_killed and kills % 100 == 0:
                    print(f"{kills} kills, {finished} runs finished, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
                if not was_killed:
                    break
                acks = stored  # What is there must stay, acknowledged or not.
            finished += 1
            acks_seen += len(acks)
            stored_runs.must(runs.contents(store) == expected, "the resumed run differs from the one that nobody killed")
            for suffix in ("", "-journal"):
                pathlib.Path(str(store) + suffix).unlink(missing_ok=True)
    print(f"{kills} kills, {finished} resumed runs of {runs.requested} episodes, each equal to the one that nobody killed; 0 of {acks_seen} acknowledged episodes "
          f"lost, 0 doubled, integrity ok after each; killed in mid-write {hot} times, between commit and acknowledgement {beyond} times; {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except stored_runs.Failed as problem:
        print(f"kill_test.py: {problem}", file=sys.stderr)
        sys.exit(1)
