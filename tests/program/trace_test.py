#!/usr/bin/env python3
"""The file of --trace: valid, of all ranks, without overlaps, and causal. Tracing changes no result."""

import collections

from support import *

NAMES = {"batch", "compute", "push", "pull", "wait", "gradient", "pass", "reply", "snapshot", "evaluation", "all-reduce", "headers",
         "update", "process_name", "process_sort_index", "thread_name"}


class Trace(ProgramTest):
    def traced(self, name, *options, ranks=None):
        """The run, its events by (rank, track), and the whole file."""
        path = self.folder / f"{name}.json"
        run = self.train(name, *options, "--trace", path, ranks=ranks)
        self.assertEqual(run.config["trace"], str(path))
        file = json.loads(path.read_text())
        self.assertLessEqual({event["name"] for event in file["traceEvents"]}, NAMES)
        tracks, names = collections.defaultdict(list), {}
        for event in file["traceEvents"]:
            if event["name"] == "thread_name":
                names[event["pid"], event["tid"]] = event["args"]["name"]
            elif event["ph"] != "M":
                tracks[event["pid"], names[event["pid"], event["tid"]]].append(event)
        for events in tracks.values():
            end = 0
            for event in events:
                self.assertGreaterEqual(event["ts"], end - 0.002)  # rounded to nanoseconds
                end = event["ts"] + event.get("dur", 0)
        self.assertEqual(file["otherData"]["events_dropped"], 0)
        return run, tracks, file

    def count(self, events, name):
        return sum(event["name"] == name for event in events)

    def titles(self, file):
        return [event["args"]["name"] for event in file["traceEvents"] if event["name"] == "process_name"]

    def test_local(self):
        run, tracks, file = self.traced("a")
        self.assertEqual(self.titles(file), ["rank 0: local"])
        for name in ("batch", "compute", "update"):
            self.assertEqual(self.count(tracks[0, "exchange"], name), UPDATES, name)
        self.assertEqual([event["args"]["version"] for event in tracks[0, "evaluation"]], [2, 4])
        self.assertEqual(run.sha256(), self.train("b").sha256())

    def test_asynchronous_ranks_share_a_clock(self):
        for transport in ("shared", "mpi"):
            with self.subTest(transport):
                _, tracks, file = self.traced(transport, "--exchange", "async", "--transport", transport, "--epochs", "2", ranks=3)
                self.assertEqual(self.titles(file), ["rank 0: master", "rank 1: worker 0", "rank 2: worker 1"])
                self.assertEqual([rank["clock_offset_us"] for rank in file["otherData"]["ranks"]], [0, 0, 0])
                master = tracks[0, "exchange"]
                self.assertEqual(self.count(master, "gradient"), 2 * UPDATES)
                self.assertEqual(sum(event["args"]["updates"] for event in master if event["name"] == "pass"), 2 * UPDATES)
                self.assertEqual(len(tracks[0, "evaluation"]), UPDATES)
                computed = 0
                for worker in (0, 1):
                    mine = tracks[worker + 1, "exchange"]
                    of = lambda events, name: [event for event in events if event["name"] == name]
                    marks, replies = ([event for event in of(master, name) if event["args"]["worker"] == worker]
                                      for name in ("gradient", "reply"))
                    for compute, push, mark, reply, pull in zip(of(mine, "compute"), of(mine, "push"), marks, replies[1:],
                                                                of(mine, "pull")[1:], strict=True):
                        self.assertEqual(push["args"], {"version": mark["args"]["version"], "batch": mark["args"]["batch"]})
                        self.assertLess(compute["ts"] + compute["dur"], push["ts"] + 0.002)
                        self.assertLess(push["ts"], mark["ts"])
                        self.assertLess(mark["ts"], reply["ts"])
                        self.assertLess(reply["ts"], pull["ts"] + pull["dur"])
                        computed += 1
                self.assertEqual(computed, 2 * UPDATES)

    def test_several_masters_and_those_in_the_ranks_of_workers(self):
        _, _, file = self.traced("a", "--exchange", "async", "--masters", "2", ranks=3)
        self.assertEqual(self.titles(file), ["rank 0: master 0", "rank 1: master 1", "rank 2: worker 0"])
        _, tracks, file = self.traced("b", "--exchange", "async", "--colocate", ranks=2)
        self.assertEqual(self.titles(file), ["rank 0: master, worker 0", "rank 1: worker 1"])
        self.assertEqual(self.count(tracks[0, "exchange"], "gradient"), UPDATES)
        self.assertGreaterEqual(self.count(tracks[0, "worker"], "compute") + self.count(tracks[1, "exchange"], "compute"), UPDATES)

    def test_synchronous(self):
        _, tracks, file = self.traced("a", "--exchange", "sync", ranks=2)
        self.assertEqual(self.titles(file), ["rank 0: sync", "rank 1: sync"])
        for rank in (0, 1):
            for name in ("compute", "headers", "all-reduce", "update"):
                self.assertEqual(self.count(tracks[rank, "exchange"], name), UPDATES, name)

    def test_a_file_that_cannot_be_written_is_found_before_training(self):
        for options, ranks in (([], None), (["--exchange", "async"], 2)):
            process = call(*replace(TRAIN, options), "--out", self.folder / "a", "--trace", self.folder / "no" / "t.json", ranks=ranks)
            self.assert_refused(process, "no/t.json", 1)
            self.assertFalse((self.folder / "a").exists())


if __name__ == "__main__":
    unittest.main()
