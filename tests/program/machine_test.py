#!/usr/bin/env python3
"""The program and the machine: cores, masks, OpenMP variables, and a system that starts no more threads."""

import math
import pathlib
import re
import resource

from support import *

CPUS = sorted(os.sched_getaffinity(0))
# Variables that bind or limit threads, or choose kernels. Unset, except by tests.
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_", "APAM_ISA"))}


def run(*arguments, environment=None, ranks=None, before=None):
    command = [PROGRAM, *map(str, arguments)]
    if ranks is not None:
        command = [MPIEXEC, *ranks, *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**PLAIN, **(environment or {})},
                          preexec_fn=before)


def numbers(text):
    """The CPUs of "0-3,8"."""
    ranges = [[int(n) for n in part.split("-")] for part in text.split(",")]
    return [cpu for r in ranges for cpu in range(r[0], r[-1] + 1)]


class Cores(ProgramTest):
    def info(self, environment=None, before=None):
        process = run("info", "--json", environment=environment, before=before)
        self.assertEqual(process.returncode, 0, process.stderr)
        return json.loads(process.stdout)

    def expected(self, info, cpus):
        quota = info["cpu_quota"]
        return cpus if quota is None else min(cpus, max(1, math.ceil(quota)))

    def test_are_those_of_the_mask(self):
        info = self.info()
        self.assertEqual(numbers(info["cpus"]), CPUS)
        self.assertEqual(info["cores"], self.expected(info, len(CPUS)))
        one = self.info(before=lambda: os.sched_setaffinity(0, CPUS[-1:]))
        self.assertEqual((one["cpus"], one["cores"]), (str(CPUS[-1]), 1))
        self.assertRegex(run("info").stdout, r"(?m)^cpu_quota +(none|[0-9.]+)$")

    def test_compute_with_the_best_instruction_set(self):
        processor = dict(re.findall(r"(?m)^(\w+)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text()))
        flags = set(processor.get("flags", "").split())
        info = self.info()
        amx = {"amx_tile", "amx_bf16"} <= flags
        self.assertEqual(info["amx"], "available" if amx else "the processor has no AMX")
        bf16 = {"avx512f", "avx512bw", "avx512vl", "avx512_bf16"} <= flags
        self.assertEqual(info["instruction_set"],
                         "amx" if amx
                         else "avx512_bf16" if bf16 and processor["vendor_id"] == "AuthenticAMD"
                         else "avx512" if "avx512f" in flags
                         else "avx2" if {"avx2", "fma"} <= flags
                         else "portable")

    def test_compute_with_the_instruction_set_that_was_asked_for(self):
        self.assertEqual(self.info({"APAM_ISA": "portable"})["instruction_set"], "portable")
        process = run("info", environment={"APAM_ISA": "abacus"})
        self.assertEqual(process.returncode, 1)
        self.assertRegex(process.stderr, "APAM_ISA: instruction set 'abacus' is not available; available: portable")

    def test_are_those_that_openmp_binds_threads_to(self):
        every = " ".join(map(str, CPUS))
        for variables in ({"OMP_PROC_BIND": "true"}, {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
                          {"OMP_PLACES": "threads", "OMP_PROC_BIND": "spread"}, {"GOMP_CPU_AFFINITY": every}):
            with self.subTest(variables):
                info = self.info(variables)
                self.assertEqual(numbers(info["cpus"]), CPUS)
                self.assertEqual(info["cores"], self.expected(info, len(CPUS)))

    def test_that_openmp_may_not_use_are_not_counted(self):
        for variables in ({"GOMP_CPU_AFFINITY": str(CPUS[-1])}, {"OMP_PLACES": f"{{{CPUS[-1]}}}", "OMP_PROC_BIND": "true"}):
            with self.subTest(variables):
                self.assertEqual(self.info(variables)["cpus"], str(CPUS[-1]))
        self.assertEqual(self.info({"OMP_THREAD_LIMIT": "1"})["cores"], 1)


class Threads(ProgramTest):
    # Like TRAIN, but without --threads.
    OPTIONS = ["train", *DATA, "--kernels", "native", "--batch", "4", "--max-updates", "1"]

    def config(self, name, *arguments, **how):
        process = run(*replace(self.OPTIONS, arguments), "--out", self.folder / name, **how)
        self.assertEqual(process.returncode, 0, process.stderr)
        return Run(self.folder / name).config

    def test_of_unbound_ranks_divide_the_cores(self):
        config = self.config("a", "--exchange", "sync", ranks=["-n", "2"])
        self.assertEqual(config["threads_by_rank"], 2 * [max(1, config["cores"] // 2)])
        config = self.config("b", "--exchange", "async", ranks=["-n", "3"])
        workers = max(1, config["cores"] // 2)
        self.assertEqual(config["threads_by_rank"], [max(1, config["cores"] - 2 * workers), workers, workers])
        self.assertEqual(config["threads"], workers)

    def test_of_bound_ranks_are_their_own_cores(self):
        config = self.config("a", "--exchange", "sync", ranks=["-n", "2", "-bind-to", "core:1"])
        self.assertEqual(config["cores"], len(numbers(config["cpus"])))  # 2 if cores have two threads
        self.assertEqual(config["threads_by_rank"], [config["cores"]] * 2)
        half = len(CPUS) // 2
        if half == 0:
            return
        masks = [",".join(map(str, part)) for part in (CPUS[:half], CPUS[half:])]
        process = subprocess.run(
            [MPIEXEC, "-n", "1", "taskset", "-c", masks[0], PROGRAM, *self.OPTIONS, "--exchange", "sync", "--out",
             self.folder / "b", ":", "-n", "1", "taskset", "-c", masks[1], PROGRAM, *self.OPTIONS, "--exchange", "sync", "--out",
             self.folder / "b"], capture_output=True, text=True, timeout=120, env=PLAIN)
        self.assertEqual(process.returncode, 0, process.stderr)
        config = Run(self.folder / "b").config
        self.assertEqual(numbers(config["cpus"]), CPUS[:half])
        if config["cpu_quota"] is None:
            self.assertEqual(config["threads_by_rank"], [half, len(CPUS) - half])

    def test_beyond_the_openmp_limit_are_refused(self):
        # oneDNN's kernels would wait for them forever.
        for variables in ({"OMP_THREAD_LIMIT": "1"}, {"OMP_MAX_ACTIVE_LEVELS": "0"}):
            process = run(*self.OPTIONS, "--threads", "2", "--out", self.folder / "a", environment=variables)
            self.assert_refused(process, "threads: 2 requested, OpenMP grants at most 1", 2)
        self.assertFalse((self.folder / "a").exists())

    def test_are_as_many_as_requested_in_spite_of_openmp_variables(self):
        digests = set()
        for number, variables in enumerate(({}, {"OMP_NUM_THREADS": "1"}, {"OMP_DYNAMIC": "true"}, {"OMP_PROC_BIND": "true"})):
            for kernels in ("native", "onednn"):
                name = f"{kernels}{number}"
                config = self.config(name, "--threads", "2", "--kernels", kernels, environment=variables)
                self.assertEqual(config["threads"], 2)
                digests.add((kernels, Run(self.folder / name).sha256()))
        self.assertEqual(len(digests), 2)

    def test_that_cannot_be_started_are_a_one_line_error(self):
        def few_threads():  # each requests 1 GiB of stack
            resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, 1 << 30))
            resource.setrlimit(resource.RLIMIT_AS, (5 << 30, 5 << 30))

        if run("info", "--threads", "1", before=few_threads).returncode != 0:
            self.skipTest("this build does not run where address space is limited")
        for arguments, line in ((["--threads", "8"], r"threads: thread \d of 8 cannot be started: Resource temporarily"),
                                (["--threads", "1", "--loader-threads", "9"], r"loader: thread \d of 9 cannot be started: Resource")):
            process = run(*self.OPTIONS, *arguments, "--out", self.folder / "a", before=few_threads)
            self.assertEqual(process.returncode, 1, process.stderr)
            self.assertEqual(len(complaints(process)), 1, process.stderr)
            self.assertRegex(complaints(process)[0], f"^apam: {line}")


if __name__ == "__main__":
    unittest.main()
