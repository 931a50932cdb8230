#!/usr/bin/env python3
"""Runs the published experiments (scripts/experiments/*.json), draws their pictures and writes a results page.

Started by scripts/run_all.sh, which builds apam first. Run folders are OUT/SCALE/EXPERIMENT/RUN, with the output of apam in
RUN.log next to them; pictures are in OUT/SCALE/EXPERIMENT, and the page is OUT/index.html.

A run is finished if its summary.json says so and its config.json has the same command; finished runs are skipped. Others
continue from their checkpoint, if it is of the same command, or start from the beginning. Runs that this machine cannot do are
skipped with a reason. A failure does not stop the other runs. Exit codes: 0, also if every run was skipped; 1: something failed;
2: invalid command line; 130 or 143: interrupted.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import experiment_list
import results_page
from plots.runs import read_object

SCRIPTS = pathlib.Path(__file__).resolve().parent
ROOT = SCRIPTS.parent
FORMATS = ("svg", "png")


class Interruption:
    """SIGINT and SIGTERM: the first one is passed to the running process and prevents later ones, the second one kills it."""

    def __init__(self):
        self.number = 0  # of the signal
        self._process = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number, frame):
        del frame
        if self._process:
            self._process.send_signal(signal.SIGKILL if self.number else number)
        self.number = number

    def run(self, command, log):
        """Runs a command to its end, with its output in a file. Returns its exit code."""
        with open(log, "wb") as output:
            # In a session of its own, so that a signal from the terminal arrives once: apam exits at the second one.
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=subprocess.STDOUT, start_new_session=True)
            if self.number:  # received before the assignment
                self._process.send_signal(self.number)
            code = self._process.wait()
            self._process = None
        return code


@dataclasses.dataclass
class Job:
    """A planned run. `state`: planned, done, finished (in an earlier call), skipped, failed."""

    experiment: experiment_list.Experiment
    run: experiment_list.Run
    folder: pathlib.Path
    launcher: list
    command: list  # of apam
    state: str = "planned"
    reason: str = ""

    @property
    def name(self):
        return f"{self.experiment.name}/{self.run.name}"

    @property
    def log(self):
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def text(self):
        return shlex.join([*self.launcher, *self.command])

    @property
    def has_results(self):
        return self.state in ("done", "finished")


class DataSets:
    """Where the data sets are, and stand-ins for them at scale smoke."""

    # At scale smoke, the bundled sample of CIFAR-10 is exported to the formats of these data sets. All others are replaced by the
    # sample itself.
    EXPORTS = {"cinic10": "png-tree", "imagenet32": "npz"}

    def __init__(self, scale, roots, out, program):
        self._smoke = scale == "smoke"
        self._roots, self._folder, self._program = roots, out / "smoke" / "data", program

    def _stands_in(self, name):
        return self._smoke and name not in self._roots

    def _root(self, name):
        if self._stands_in(name):
            return self._folder / name
        return self._roots.get(name, pathlib.Path("data-root") / name)

    def options(self, name):
        if self._stands_in(name) and name not in self.EXPORTS:
            return ["--data", "cifar10"]
        return ["--data", name, "--data-root", str(self._root(name))]

    def missing(self, name):
        """What to do about a missing data set; None if it is there."""
        if self._stands_in(name) or (ROOT / self._root(name)).exists():
            return None
        return f"the data set {name} is not in {self._root(name)}: scripts/get_data.sh {name}, or --data-root {name}=DIR"

    def prepare(self, name, interruption):
        """Makes the stand-in of a data set. Raises ValueError if that fails."""
        folder = ROOT / self._root(name)
        if not self._stands_in(name) or name not in self.EXPORTS or folder.exists():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [self._program, "data", "export", "--data", "cifar10", "--format", self.EXPORTS[name], "--out", str(folder)]
        log = folder.with_name(folder.name + ".log")
        if interruption.run(command, log) != 0:
            raise ValueError(f"{shlex.join(command)}: {last_line(log.read_text(errors='replace'))}")


def plan(arguments):
    """All runs of the scale, of all experiments."""
    data = DataSets(arguments.scale, arguments.data_root, arguments.out, arguments.program)
    jobs = []
    for experiment in experiment_list.all_experiments().values():
        for run in experiment.runs(arguments.scale):
            folder = arguments.out / arguments.scale / experiment.name / run.name
            launcher = [] if run.exchange == "local" else [arguments.mpiexec, "-n", str(run.ranks)]
            options = {"net": experiment.net, "exchange": run.exchange, "device": experiment.device, **run.options}
            command = [arguments.program, "train", *data.options(experiment.data)]
            command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
            jobs.append(Job(experiment, run, folder, launcher, [*command, "--out", str(folder)]))
    return jobs, data


def settings_of(command):
    """The arguments of a command of apam, without the program, --out, --overwrite and --resume."""
    settings = list(command[1:])
    if "--out" in settings:
        position = settings.index("--out")
        del settings[position:position + 2]
    return [word for word in settings if word not in ("--overwrite", "--resume")]


def has_same_command(job, config):
    return settings_of(config.get("command", [])) == settings_of(job.command) and config.get("ranks") == job.run.ranks


def how_to_start(job):
    """The option for a run that is not finished and whose folder may exist."""
    folder = ROOT / job.folder
    if not folder.exists():
        return []
    continues = (folder / "checkpoint.safetensors").exists() and has_same_command(job, read_object(folder / "config.json") or {})
    return ["--resume" if continues else "--overwrite"]


def is_finished(job):
    config, summary = read_object(ROOT / job.folder / "config.json"), read_object(ROOT / job.folder / "summary.json")
    if not config or not summary or summary.get("interrupted") or summary.get("diverged"):
        return False
    complete = summary.get("updates") is not None and summary["updates"] == config.get("updates")
    return complete and has_same_command(job, config)


def obstacle(job, machine, oversubscribe):
    """Why this machine cannot do a run; None if it can."""
    if job.experiment.device == "cuda" and not machine.get("gpus"):
        return "no GPU: apam info lists none"
    if job.run.ranks > machine["cores"] and not oversubscribe:
        return f"{job.run.ranks} ranks, but {machine['cores']} cores (--oversubscribe runs it)"
    return None


def describe_machine(program):
    """The output of apam info --json: cores, and GPUs if the build has kernels for them."""
    try:
        process = subprocess.run([program, "info", "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
        machine = json.loads(process.stdout) if process.returncode == 0 else None
    except (OSError, ValueError):
        machine = None
    if not isinstance(machine, dict) or "cores" not in machine:
        sys.exit(f"run_all: {program} info --json does not work; scripts/build.sh builds apam")
    return machine


def last_line(text):
    """The last message of apam in `text`, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    messages = [line for line in lines if line.startswith("apam: ")]
    return (messages or lines or ["no output"])[-1]


def run_job(job, interruption):
    folder = ROOT / job.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [*job.launcher, *job.command, *how_to_start(job)]
    start = time.monotonic()
    code = interruption.run(command, ROOT / job.log)
    if code == 0 and is_finished(job):
        accuracy = (read_object(folder / "summary.json") or {}).get("test_accuracy")
        job.state = "done"
        job.reason = f"{time.monotonic() - start:.0f} s" + (f", test accuracy {accuracy:.1%}" if accuracy is not None else "")
    else:
        job.state = "failed"
        job.reason = f"exit code {code}: {last_line((ROOT / job.log).read_text(errors='replace'))} ({job.log})"


def do_job(job, data, machine, oversubscribe, interruption):
    """Does a job if it is not finished and if this machine can do it."""
    name = job.experiment.data
    if is_finished(job):
        job.state = "finished"
    elif reason := obstacle(job, machine, oversubscribe) or data.missing(name):
        job.state, job.reason = "skipped", reason
    else:
        print(f"{job.text}\n    output: {job.log}\n    ", end="", flush=True)
        try:
            data.prepare(name, interruption)
            if not interruption.number:
                run_job(job, interruption)
        except OSError as error:
            job.state, job.reason = "failed", f"{error.filename}: {error.strerror}"
        except ValueError as error:
            job.state, job.reason = "failed", str(error)
        if interruption.number and job.state != "done":
            job.state, job.reason = "failed", "interrupted"


def do_jobs(jobs, data, machine, oversubscribe, interruption):
    """Does the jobs in order and prints a line for each."""
    for number, job in enumerate(jobs, 1):
        if interruption.number:
            job.state, job.reason = "skipped", "interrupted before its start"
            continue
        print(f"[{number}/{len(jobs)}] {job.name}: ", end="", flush=True)
        do_job(job, data, machine, oversubscribe, interruption)
        print(f"{job.state}{': ' if job.reason else ''}{job.reason}", flush=True)


def draw_pictures(jobs, out):
    """Draws the pictures of the experiments of these jobs. Returns the failures, as texts."""
    try:
        __import__("matplotlib")
    except ImportError:
        return ["pictures: this Python has no matplotlib (Debian: python3-matplotlib)"]
    commands = {}
    for experiment in {job.experiment.name: job.experiment for job in jobs}.values():
        folders = [str(job.folder) for job in jobs if job.experiment is experiment and job.has_results]
        for picture in experiment.plots if folders else ():
            path = out / experiment.name / picture
            command = [sys.executable, str(SCRIPTS / "plot.py"), picture, *folders, "--experiment", experiment.name]
            commands[f"{experiment.name}/{picture}"] = command + [word for end in FORMATS for word in ("--out", f"{path}.{end}")]

    def draw(command):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        processes = dict(zip(commands, pool.map(draw, commands.values())))
    return [f"picture {name}: {last_line(process.stderr)}" for name, process in processes.items() if process.returncode != 0]


def write_page(arguments, jobs, machine, failures):
    path = ROOT / arguments.out / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    folder = ROOT / arguments.out / arguments.scale
    partial.write_text(results_page.page(arguments.scale, jobs, ROOT, folder, machine, failures), encoding="utf-8")
    os.replace(partial, path)
    print(f"run_all: wrote {path}")


def data_root(text):
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder:
        raise argparse.ArgumentTypeError(f"expected NAME=DIR, got '{text}'")
    return name, pathlib.Path(folder).resolve()


def parse(arguments):
    names = list(experiment_list.all_experiments())
    parser = argparse.ArgumentParser(prog="run_all.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=experiment_list.SCALES, default="smoke",
                        help="smoke: minutes, on a sample; small: hours on a workstation; published: the published settings "
                             "(default: %(default)s)")
    parser.add_argument("--only", metavar="NAME,...", default=",".join(names), help="experiments (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands of all runs of the scale, and run nothing")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="folder of the results (default: results)")
    parser.add_argument("--data-root", type=data_root, action="append", default=[], metavar="NAME=DIR",
                        help="folder or packed file of a data set; may be repeated (default: data-root/NAME)")
    parser.add_argument("--oversubscribe", action="store_true", help="also start runs with more ranks than cores")
    parser.add_argument("--program", default="build/apam", metavar="FILE", help="(default: %(default)s)")
    parser.add_argument("--mpiexec", default="mpiexec.mpich", metavar="FILE", help="MPICH's launcher (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    parsed.only = parsed.only.split(",")
    if unknown := [name for name in parsed.only if name not in names]:
        parser.error(f"--only: no experiment '{unknown[0]}'; experiments: {', '.join(names)}")
    parsed.out = parsed.out.resolve() if parsed.out else pathlib.Path("results")
    parsed.data_root = dict(parsed.data_root)
    sets = {experiment.data for experiment in experiment_list.all_experiments().values()}
    if unknown := parsed.data_root.keys() - sets:
        parser.error(f"--data-root: no data set '{sorted(unknown)[0]}'; data sets: {', '.join(sorted(sets))}")
    return parsed


def main(arguments):
    arguments = parse(arguments)
    jobs, data = plan(arguments)
    chosen = [job for job in jobs if job.experiment.name in arguments.only]
    if arguments.dry_run:
        print("\n".join(job.text for job in chosen))
        return 0
    machine = describe_machine(arguments.program)
    interruption = Interruption()
    for job in jobs:
        if job.experiment.name not in arguments.only:
            job.state, job.reason = ("finished", "") if is_finished(job) else ("skipped", "not in --only")
    do_jobs(chosen, data, machine, arguments.oversubscribe, interruption)
    failures = draw_pictures(chosen, arguments.out / arguments.scale)
    write_page(arguments, jobs, machine, failures)

    if all(job.state == "skipped" for job in chosen):
        print(f"run_all: nothing was run: all {len(chosen)} runs were skipped")
    for state in ("skipped", "failed"):
        for job in chosen:
            if job.state == state:
                print(f"run_all: {state}: {job.name}: {job.reason}")
    for failure in failures:
        print(f"run_all: failed: {failure}")
    if interruption.number:
        return 128 + interruption.number
    return 1 if failures or any(job.state == "failed" for job in chosen) else 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has exited, as in: run_all.sh --dry-run | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        code = 1
    sys.exit(code)
