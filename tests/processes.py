"""Command lines in processes of their own, forked from one that has imported the heavy packages already.

Importing torch and its like costs a start seconds of processor time, and the tests make some hundred starts. The rest
is as it always is: the script runs as __main__, with its own arguments, environment, folder, output and exit code.
What depends on imports themselves (which ones happen, what happens without) needs a real start: subprocess.
"""

import atexit
import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ["numpy", "cv2", "av", "pydantic", "yaml", "filelock", "safetensors.torch", "torch"]


@functools.cache
def _context():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


class Started:
    """A script that runs, with the methods of subprocess.Popen that the tests use.

    Args:
        words: path of the script, then its arguments.
        env: all of its environment variables.
        cwd: the folder that it starts in.
    """

    def __init__(self, words, env, cwd=ROOT):
        self.args = list(map(str, words))
        self._files = [tempfile.NamedTemporaryFile(prefix="lunar_test_") for _ in range(2)]  # noqa: SIM115 -- they live as long as this
        names = [file.name for file in self._files]
        self._process = _context().Process(target=_run, args=(self.args, dict(env), str(cwd), names))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def kill(self):
        self._process.kill()

    def send_signal(self, number):
        os.kill(self.pid, number)

    def output(self):
        """What it has written to its standard output so far."""
        return Path(self._files[0].name).read_text()

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self._process.exitcode

    def communicate(self, timeout=None):
        """(standard output, standard error) when it has ended."""
        self.wait(timeout)
        return tuple(Path(file.name).read_text() for file in self._files)


def run(*words, env=None, cwd=ROOT, timeout=550):
    """Run a script to its end, as subprocess.run(capture_output=True, text=True) does. Arguments: see Started."""
    started = Started(words, os.environ if env is None else env, cwd)
    out, err = started.communicate(timeout)
    return subprocess.CompletedProcess(started.args, started.returncode, out, err)


def until(happened):
    """Wait for what must happen; pytest's own limit ends a test in which it does not."""
    while not happened():
        time.sleep(0.02)


def _run(words, env, cwd, outputs):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    for number, name in enumerate(outputs, start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()
