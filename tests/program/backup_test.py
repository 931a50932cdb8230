#!/usr/bin/env python3
"""Trains synchronously with backup ranks: the first 2 of 3 ranks make an update."""

import subprocess

from support import *


class BackupRanks(ProgramTest):
    def check_backup(self, run, updates):
        """What is true of the first 2 of 3 ranks at any speeds. Returns the number of updates that each rank is in."""
        ranks = [each for m in run.metrics if m["event"] == "train" for each in m["ranks"]]
        self.assertEqual(len(ranks), updates)
        for each in ranks:
            self.assertEqual(len(each), 2)
            self.assertLess(each[0], each[1])
        self.assertEqual(run.summary["updates"], updates)
        # The last update has no share for a third rank.
        self.assertEqual(run.summary["dropped"], updates - 1)
        leases = run.summary["leases"]
        self.assertEqual(leases["applied"], 2 * updates)
        self.assertEqual(leases["refused"] + leases["abandoned"], updates - 1)
        self.assertEqual(leases["granted"], 3 * updates - 1)
        self.assertGreaterEqual(min(leases.values()), 0)
        return [sum(rank in each for each in ranks) for rank in range(3)]

    def test_shared_memory(self):
        run = self.train("a", "--exchange", "sync", "--sync-backup", "1", "--epochs", "3", "--log-every", "5", ranks=3)
        self.check_backup(run, 3 * UPDATES)
        self.assertEqual((run.config["sync_backup"], run.summary["sync_backup"]), (1, 1))
        self.assertEqual(run.summary["transport"], "shared memory")
        # The formula of apam/exchange/shared/first_arrivals.h.
        values = (run.summary["shared_memory_bytes"] - 4096 - 4096 - 8 * 4096) / (8 + 3)
        self.assertEqual(values % 4096, 0)
        self.assertGreaterEqual(values, 4 * run.config["parameters"])
        self.assertLess(values, 4 * run.config["parameters"] + 2 * 4096)
        self.assertIsNone(self.train("b", "--exchange", "sync", ranks=2).summary["dropped"])

    def test_messages(self):
        options = ["--exchange", "sync", "--sync-backup", "1", "--transport", "mpi", "--epochs", "3", "--log-every", "5"]
        process = call(*replace(TRAIN, options), "--out", self.folder / "a", ranks=3)
        self.assertEqual(process.returncode, 0, process.stderr)
        run = Run(self.folder / "a")
        self.check_backup(run, 3 * UPDATES)
        self.assertEqual(run.summary["transport"], "mpi (host buffers)")
        # The formula of docs/protocol.md: four sums, and two halves.
        size = 5 * 4 * run.config["parameters"] / 2**20
        self.assertIn(f"transport: mpi (host buffers), {size:.1f} MiB per rank (4 sums, and parts of 2 contributions)", process.stderr)

    def test_an_update_does_not_wait_for_a_slow_rank(self):
        for transport, slow_rank in (("shared", 2), ("mpi", 2), ("mpi", 0)):  # rank 0 decides, while it computes
            with self.subTest(f"{transport}, {slow_rank}"):
                # The naive loops for a part of the step.
                options = replace(TRAIN, ["--exchange", "sync", "--sync-backup", "1", "--transport", transport, "--epochs", "3",
                                          "--out", self.folder / f"{transport}-{slow_rank}"])
                slow = replace(options, ["--kernels", f"conv2d.backward_weight=reference,*={PROVIDER}"])
                parts = [["-n", "1", PROGRAM, *(slow if rank == slow_rank else options)] for rank in range(3)]
                command = [MPIEXEC, *parts[0], ":", *parts[1], ":", *parts[2]]
                process = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240)
                self.assertEqual(process.returncode, 0, process.stderr)
                updates = self.check_backup(Run(self.folder / f"{transport}-{slow_rank}"), 3 * UPDATES)
                others = [count for rank, count in enumerate(updates) if rank != slow_rank]
                self.assertLess(updates[slow_rank], min(others))


if __name__ == "__main__":
    unittest.main()
