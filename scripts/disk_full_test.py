#!/usr/bin/env python3
"""Lets `gauntlet bench` run into a full disk: it stops with a message, loses nothing, and goes on when there is space.

    scripts/disk_full_test.py --gauntlet build/release/gauntlet

The disk is a small tmpfs in a mount namespace of its own (root, or an unprivileged user namespace); where neither is permitted, a limit
on the size of files stands in for it. Exit status 77: skipped.
"""

import argparse
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading

import stored_runs

SKIPPED = 77
MARK = "GAUNTLET_DISK_FULL_INSIDE"


def enter_namespace():
    """Starts this script again where it may mount; returns if it cannot."""
    for flags in (["-m"], ["-rm"]):
        probe = subprocess.run(["unshare", *flags, "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /mnt"], capture_output=True)
        if probe.returncode == 0:
            os.execvpe("unshare", ["unshare", *flags, sys.executable, *sys.argv], {**os.environ, MARK: "1"})


class SmallDisk:
    def __init__(self, folder, kibibytes):
        self.path = folder
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "none", folder], check=True)
        self.limit = None

    def make_space(self):
        subprocess.run(["mount", "-o", "remount,size=256m", self.path], check=True)

    def leave(self):
        subprocess.run(["umount", "-l", self.path], check=False)


class SmallFiles:
    """In place of a small disk: no file of the program may grow beyond the limit."""

    def __init__(self, folder, kibibytes):
        self.path = folder
        self.bytes = kibibytes * 1024

    def limit(self):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.bytes, self.bytes))

    def make_space(self):
        self.bytes = resource.RLIM_INFINITY

    def leave(self):
        pass


def stops_and_resumes(runs, expected, disk):
    store = runs.fresh(pathlib.Path(disk.path) / "s.db")
    full = subprocess.run(runs.command(store, "--store-retry-seconds", "1"), capture_output=True, text=True, preexec_fn=disk.limit)
    stored_runs.must(full.returncode == 3, f"on a full disk bench ended with {full.returncode}: {full.stderr}")
    said = "is full; nothing that was stored before is lost" if disk.limit is None else "what was stored before is kept"
    stored_runs.must(said in full.stderr, f"no clear message: {full.stderr}")
    stored_runs.must("stopped early: the store takes no more results" in full.stderr, f"no word about stopping: {full.stderr}")
    disk.make_space()
    stored = runs.check(store, stored_runs.acknowledged(full.stdout))
    stored_runs.must(len(stored) < runs.requested, "everything fitted on the disk that should have been too small")
    runs.finish(store)
    stored_runs.must(runs.contents(store) == expected, "the resumed run differs from one that never met a full disk")
    return len(stored)


def waits_for_space(runs, expected, disk):
    store = runs.fresh(pathlib.Path(disk.path) / "s.db")
    process = subprocess.Popen(runs.command(store), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output = []
    reader = threading.Thread(target=lambda: output.append(process.stdout.read()))
    reader.start()
    errors = ""
    for line in process.stderr:
        errors += line
        if "trying again" in line:
            disk.make_space()
    reader.join()
    stored_runs.must(process.wait() == 0, f"bench ended with {process.returncode} although space was made: {errors}")
    stored_runs.must("the store takes results again" in errors, f"the disk was never full: {errors}")
    runs.check(store, stored_runs.acknowledged(output[0]))
    stored_runs.must(runs.contents(store) == expected, "the run differs from one that never met a full disk")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gauntlet", required=True, help="the built program")
    parser.add_argument("--file-limit", action="store_true", help="use the limit on the size of files even where mounting is permitted")
    options = parser.parse_args()
    if MARK not in os.environ and not options.file_limit:
        enter_namespace()
    disk_type = SmallDisk if MARK in os.environ else SmallFiles
    with tempfile.TemporaryDirectory(prefix="gauntlet-full-") as folder:
        runs = stored_runs.Runs(options.gauntlet, folder, 4, 200, "greedy")
        whole = runs.fresh(pathlib.Path(folder) / "whole.db")
        runs.finish(whole)
        expected = runs.contents(whole)
        base, end = runs.base.stat().st_size // 1024, whole.stat().st_size // 1024
        if end - base < 100:
            print(f"skipped: the episodes take {end - base} KiB, too little to fill a disk with")
            return SKIPPED
        kept = []
        for share in (0.2, 0.5, 0.8):
            place = pathlib.Path(folder) / f"disk{share}"
            place.mkdir()
            disk = disk_type(str(place), base + int(share * (end - base)))
            try:
                kept.append(stops_and_resumes(runs, expected, disk))
            finally:
                disk.leave()
        stored_runs.must(max(kept) > 0, "not one episode was stored before the disk was full")
        kind = "a limit on file sizes (no right to mount)"
        if disk_type is SmallDisk:
            kind = "a small tmpfs"
            place = pathlib.Path(folder) / "disk"
            place.mkdir()
            disk = SmallDisk(str(place), base + (end - base) // 2)
            try:
                waits_for_space(runs, expected, disk)
            finally:
                disk.leave()
    print(f"disk full by {kind}: stopped with a message at {', '.join(map(str, kept))} of {runs.requested} episodes, none lost, each resumed to the same run")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except stored_runs.Failed as problem:
        print(f"disk_full_test.py: {problem}", file=sys.stderr)
        sys.exit(1)
