"""The virtual environments in which other people's packages check ours. Only the standard library."""

import subprocess
import sys


def make_venv(venv, requirements, wanted):
    """The interpreter of the environment, or None with the reason printed. `requirements` are arguments of pip install; `wanted` is
    the text that tells one set of them from another."""
    python = venv / "bin" / "python"
    complete = venv / "complete"  # written last, so that a cut installation is done again
    if complete.exists() and complete.read_text() == wanted:
        return python
    steps = [[sys.executable, "-m", "venv", "--clear", str(venv)],
             [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "15", "--retries", "1", *requirements]]
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True)
        except OSError as error:
            print(f"skipped: could not run {step[0]}: {error}")
            return None
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            print(f"skipped: could not make {venv}: {last}")
            return None
    complete.write_text(wanted)
    return python
