"""Training with ranks on GPUs, on a guarded one whose kernels are left out: how ranks meet, not what they compute.

tests/kernels/cuda/guarded compares the bits."""

import os
import subprocess
import unittest
import unittest.mock

from support import MPIEXEC, PROGRAM, TRAIN, UPDATES, ProgramTest, Run, call, replace

IPC = "shared memory of GPUs (CUDA IPC)"
PINNED = "mpi (pinned host buffers)"
DIRECT = "mpi (device buffers)"
OPTIONS = replace(TRAIN, ["--device", "cuda", "--net", "allcnn"])


def mpi_that(takes):
    """While it is entered: an MPI that takes memory of GPUs, or claims to."""
    return unittest.mock.patch.dict(os.environ, {"APAM_GUARDED_MPI": takes})


class RanksOnGpus(ProgramTest):
    def train(self, name, *more, ranks):
        process = call(*replace(OPTIONS, more), "--out", self.folder / name, ranks=ranks)
        self.assertEqual(process.returncode, 0, process.stderr)
        run = Run(self.folder / name)
        self.assertEqual((run.summary["updates"], run.summary["ranks"]), (UPDATES, ranks))
        return run

    def test_share_memory_of_gpus(self):
        run = self.train("a", "--exchange", "async", ranks=3)
        self.assertEqual((run.config["transport"], run.summary["transport"]), (IPC, IPC))
        self.assertEqual((run.config["device"], run.config["device_by_rank"][0]), ("cuda:0", "cuda:0"))
        self.assertEqual([len(run.config[f"{name}_by_rank"]) for name in ("device", "gpu", "cpu", "instruction_set")], [3, 3, 3, 3])
        self.assertNotIn(None, run.config["gpu_by_rank"])
        self.assertEqual(run.summary["copied_bytes"], 0)
        # No kernel writes the versions, so what they have is that of the memory.
        replay = call("replay", "--run", run.path)
        self.assertRegex(replay.stdout + replay.stderr, rf"^{UPDATES} updates replayed|after update {UPDATES} is ")

    def test_exchange_messages(self):
        several_parts = ["--net", "resnet18", "--exchange", "async", "--transport", "mpi"]
        run = self.train("m", *several_parts, "--trace", self.folder / "trace.json", ranks=3)
        self.assertEqual((run.config["transport"], run.summary["transport"]), (PINNED, PINNED))
        self.assertGreater(run.summary["copied_bytes"], 0)
        self.assertEqual(run.config["no_device_buffers"], "rank 0: MPI takes no memory of GPUs")
        self.assertGreater((self.folder / "trace.json").stat().st_size, 0)

    def test_exchange_messages_from_memory_of_gpus(self):
        with mpi_that("all_memory"):
            run = self.train("d", "--exchange", "async", "--transport", "mpi", ranks=3)
            self.assertEqual((run.config["transport"], run.summary["transport"]), (DIRECT, DIRECT))
            self.assertIsNone(run.config["no_device_buffers"])
            run = self.train("r", "--exchange", "async", "--transport", "mpi", "--wire", "bf16", ranks=2)
            self.assertEqual(run.config["transport"], PINNED)
            self.assertEqual(run.config["no_device_buffers"], "--wire bf16 rounds values in host memory")

    def test_exchange_no_messages_that_are_lost(self):
        with mpi_that("claims_to_take"):
            run = self.train("c", "--exchange", "async", "--transport", "mpi", ranks=2)
        self.assertEqual(run.config["transport"], PINNED)
        self.assertRegex(run.config["no_device_buffers"], r"^rank 0: MPI delivers 0 for \d+ from rank 1, at float 0 of 16384$")

    def test_sum_gradients(self):
        run = self.train("s", "--exchange", "sync", ranks=2)
        self.assertEqual((run.config["transport"], run.summary["transport"]), (PINNED, PINNED))

    def test_sum_gradients_by_nccl(self):
        run = self.train("n", "--exchange", "sync", "--transport", "nccl", "--trace", self.folder / "nccl.json", ranks=2)
        self.assertEqual((run.config["transport"], run.summary["transport"]), ("nccl", "nccl"))

    def call_with(self, variable):
        """Two ranks that sum by NCCL; rank 1 has the variable."""
        rank = [PROGRAM, *OPTIONS, "--exchange", "sync", "--transport", "nccl"]
        command = [MPIEXEC, "-n", "1", *rank, ":", "-n", "1", "env", variable, *rank]
        return subprocess.run(command, capture_output=True, text=True, timeout=240)

    def test_name_ranks_that_share_a_gpu(self):
        process = call(*replace(OPTIONS, ["--batch", "4"]), "--exchange", "sync", "--transport", "nccl", ranks=3)
        self.assert_refused(process, "--transport nccl: ranks 0 and 2 are both on GPU guarded 0 of ", 1)

    def test_name_the_rank_that_has_no_nccl(self):
        process = self.call_with("GUARDED_NCCL_ABSENT=1")
        self.assert_refused(process, "--transport nccl: rank 1: not found: by request", 1)

    def test_end_when_nccl_fails(self):
        process = self.call_with("GUARDED_NCCL_FAILS=1")
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("nccl: earlier work on the guarded GPU: failed", process.stderr)

    def call_on_both(self, *more):
        """A rank on the CPU and a rank on a GPU."""
        command = [MPIEXEC]
        for device in ("cpu", "cuda"):
            command += ["-n", "1", PROGRAM, *replace(OPTIONS, ["--device", device, *more]), ":"]
        return subprocess.run(command[:-1], capture_output=True, text=True, timeout=240)

    def test_share_no_memory_with_ranks_on_cpus(self):
        process = self.call_on_both("--exchange", "async", "--transport", "shared")
        rule = "rank 1: computes on cuda:1, shared memory is for ranks that are all on cpu or all on GPUs"
        self.assert_refused(process, f"--transport shared: {rule}", 1)

    def test_make_no_replicas_of_ranks_on_cpus(self):
        process = self.call_on_both("--exchange", "sync", "--transport", "mpi")
        self.assert_refused(process, "the kind of device of synchronous training", 2)

    def test_sum_by_nccl_only_on_gpus(self):
        process = self.call_on_both("--exchange", "sync", "--transport", "nccl")
        self.assert_refused(process, "the kind of device of synchronous training", 2)
        process = call(*replace(OPTIONS, ["--device", "cpu", "--exchange", "sync", "--transport", "nccl"]), ranks=2)
        self.assert_refused(process, "--transport nccl: rank 0: computes on cpu, NCCL is for GPUs", 1)
        process = call(*OPTIONS, "--exchange", "async", "--transport", "nccl", ranks=2)
        self.assert_refused(process, "--transport nccl: is for --exchange sync without --sync-backup, got async", 2)

    def test_sum_by_nccl_only_all_gradients(self):
        process = call(*OPTIONS, "--exchange", "sync", "--sync-backup", "1", "--transport", "nccl", ranks=2)
        self.assert_refused(process, "--transport nccl: is for --exchange sync without --sync-backup, got sync with --sync-backup 1", 2)

    def test_cannot_share_memory_to_sum(self):
        process = call(*OPTIONS, "--exchange", "sync", "--transport", "shared", ranks=2)
        self.assert_refused(process, "--transport shared: rank 0: computes on cuda:0, shared memory is for ranks on cpu", 1)


if __name__ == "__main__":
    os.environ["GUARDED_GPU_WITHOUT_KERNELS"] = "1"
    unittest.main()
