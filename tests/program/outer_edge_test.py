#!/usr/bin/env python3
"""The program and the system: outputs that cannot be written, devices and links, names of arbitrary bytes, launchers, terminals,
locales, little memory."""

import pty
import resource
import shutil
import signal
import tempfile
import threading
import time
import urllib.parse

from support import *

ONE = replace(TRAIN, ["--max-updates", "1"])
FULL = "standard output cannot be written: No space left on device"


def bytes_of(text):
    """The bytes of a text in JSON, by the rule in apam/training/json_text.h."""
    return urllib.parse.unquote_to_bytes(text[6:]) if text.startswith("bytes:") else text.encode()


def raw(*arguments, cwd=None):
    """Runs apam with arguments that may be bytes; its output is bytes."""
    return subprocess.run([PROGRAM, *(a if isinstance(a, bytes) else str(a) for a in arguments)], capture_output=True, timeout=240, cwd=cwd)


class StandardOutput(ProgramTest):
    def commands(self):
        model = self.train("a", "--max-updates", "1").path / "model.safetensors"
        yield ["--version"]
        yield ["--help"]
        yield ["train", "--help"]
        yield ["info"]
        yield ["eval", "--net", "allcnn", "--weights", model, *DATA, *MACHINE]
        yield [*ONE, "--out", self.folder / "b", "--overwrite"]

    def test_output_that_cannot_be_written_is_an_error(self):
        for command in self.commands():
            command = [PROGRAM, *map(str, command)]
            with self.subTest(command):
                with open("/dev/full", "w") as full:
                    process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual((process.returncode, complaints(process)), (1, [f"apam: {FULL}"]))
                reader, writer = os.pipe()
                os.close(reader)
                process = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
                os.close(writer)
                self.assertEqual((process.returncode, complaints(process)), (1, ["apam: standard output cannot be written: Broken pipe"]))
                process = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True)
                self.assertEqual((process.returncode, complaints(process)), (1, ["apam: standard output cannot be written: Bad file descriptor"]))
        self.assertEqual(Run(self.folder / "b").summary["updates"], 1)  # the run itself is complete

    def test_scores_may_go_to_standard_output(self):
        model = self.train("a", "--max-updates", "1").path / "model.safetensors"
        (self.folder / "stdout").symlink_to("/dev/stdout")
        scoring = [PROGRAM, "eval", "--net", "allcnn", "--weights", model, *DATA, *MACHINE, "--json", self.folder / "stdout"]
        with open(self.folder / "out", "w") as file:
            self.assertEqual(subprocess.run(scoring, stdout=file).returncode, 0)
        piped = subprocess.run(scoring, stdout=subprocess.PIPE, text=True)
        self.assertEqual(piped.returncode, 0)
        for text in ((self.folder / "out").read_text(), piped.stdout):
            line, scores = text.split("\n", 1)
            self.assertRegex(line, "^test accuracy ")
            self.assertEqual(json.loads(scores)["net"], "allcnn")

    def test_results_are_not_lost_with_their_file(self):
        model = self.train("a", "--max-updates", "1").path / "model.safetensors"
        (self.folder / "full").symlink_to("/dev/full")  # found when it is written
        batch = self.folder / "batch"
        tensors = {"input": ("F32", [1, 3, 32, 32], bytes(4 * 3 * 32 * 32)), "target": ("I64", [1], bytes(8))}
        header, data = {}, b""
        for name, (dtype, shape, values) in tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
            data += values
        text = json.dumps(header).encode()
        batch.write_bytes(len(text).to_bytes(8, "little") + text + data)
        for command, result in ((["eval", "--weights", model, *DATA, *MACHINE, "--json"], r"^test accuracy .*\n$"),
                                (["gradients", "--weights", model, "--batch", batch, *MACHINE, "--out"], r"^loss .* of 1 images right\n$")):
            process = call(command[0], "--net", "allcnn", *command[1:], self.folder / "full")
            self.assertEqual((process.returncode, len(complaints(process))), (1, 1), process.stderr)
            self.assertRegex(process.stdout, result)
            # A mistake that can be found before the work is.
            self.assert_refused(call(command[0], "--net", "allcnn", *command[1:], self.folder / "none" / "out"), "cannot be created", 1)
        self.assertEqual({p.name for p in self.folder.iterdir()}, {"a", "full", "batch"})

    def test_devices_and_links_are_not_replaced(self):
        model = self.train("a", "--max-updates", "1").path / "model.safetensors"
        (self.folder / "elsewhere").mkdir()
        link, target = self.folder / "link", self.folder / "elsewhere" / "scores.json"
        link.symlink_to(target)
        # Through links: if the program did replace its output file, the machine must not be harmed.
        null, full = self.folder / "null", self.folder / "full"
        null.symlink_to("/dev/null")
        full.symlink_to("/dev/full")
        os.mkfifo(self.folder / "fifo")
        heard = []
        reader = threading.Thread(target=lambda: heard.append((self.folder / "fifo").read_text()), daemon=True)
        reader.start()
        for json_file in (null, link, self.folder / "fifo"):
            process = call("eval", "--net", "allcnn", "--weights", model, *DATA, *MACHINE, "--json", json_file)
            self.assertEqual(process.returncode, 0, process.stderr)
        reader.join(60)
        self.assertEqual(len(heard), 1)
        self.assertTrue(link.is_symlink() and null.is_symlink())
        self.assertEqual(json.loads(heard[0])["images"], json.loads(target.read_text())["images"])
        process = call("eval", "--net", "allcnn", "--weights", model, *DATA, *MACHINE, "--json", full)
        self.assertIn(f"write: {full}", complaints(process)[0])
        self.assertEqual(process.returncode, 1)


class RunFolders(ProgramTest):
    def state(self, path):
        return {p.name: p.read_bytes() for p in path.iterdir()}

    def test_a_run_that_does_not_start_keeps_the_old_one(self):
        run = self.train("a", "--max-updates", "1")
        before = self.state(run.path)
        (self.folder / "file").write_text("no data")
        again = [*ONE, "--out", str(run.path), "--overwrite", "--seed", "1"]
        for mistake in (["--init", self.folder / "file"], ["--data", "cifar10", "--data-root", "/nowhere"], ["--batch", "9"],
                        ["--kernels", "conv2d=none"]):
            self.assertGreater(call(*replace(again, mistake)).returncode, 0)
            self.assertEqual(self.state(run.path), before, mistake)
        for exchange, ranks in (("async", 2), ("sync", 2)):
            process = call(*again, "--exchange", exchange, "--init", self.folder / "file", ranks=ranks)
            self.assertEqual(process.returncode, 1)
            self.assertEqual(self.state(run.path), before, exchange)

    def test_a_run_killed_before_its_first_update_keeps_the_old_one(self):
        run = self.train("a", "--max-updates", "1")
        before = self.state(run.path)
        # One update of many images takes long.
        slow = [PROGRAM, *replace(ONE, ["--train-images", "2000", "--batch", "2000"]), "--out", str(run.path), "--overwrite"]
        process = subprocess.Popen(slow, stderr=subprocess.PIPE, text=True)
        process.stderr.readline()  # the run has started
        process.kill()
        process.communicate()
        after = self.state(run.path)
        self.assertEqual({name: after[name] for name in before}, before)
        self.train("a", "--max-updates", "1", "--overwrite")

    def test_a_run_continues_from_the_folder_it_replaces(self):
        first = self.train("a", "--max-updates", "1")
        model = (first.path / "model.safetensors").read_bytes()
        (self.folder / "model").write_bytes(model)
        second = self.train("a", "--max-updates", "1", "--overwrite", "--init", first.path / "model.safetensors")
        elsewhere = self.train("b", "--max-updates", "1", "--init", self.folder / "model")
        self.assertEqual(second.sha256(), elsewhere.sha256())
        self.assertNotEqual(second.sha256(), first.sha256())

    def test_runs_in_the_same_second_get_separate_folders(self):
        command = [PROGRAM, *ONE]
        started = [subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
        folders = set()
        for process in started:
            out, err = process.communicate()
            self.assertEqual(process.returncode, 0, err)
            folders.add(out.splitlines()[-1].removeprefix("run folder "))
        self.assertEqual(len(folders), 6)
        self.assertEqual({p.name for p in (self.folder / "runs").iterdir()}, {pathlib.Path(f).name for f in folders})

    @unittest.skipIf(os.geteuid() != 0, "mounting a small disk takes root")
    def test_a_full_disk_leaves_no_trace(self):
        disk = self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "apam-test", str(disk)], capture_output=True).returncode != 0:
            self.skipTest("a small disk cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", str(disk)])
        (disk / "filler").write_bytes(bytes(61 << 10))
        process = call(*ONE, "--out", disk / "run")
        self.assertEqual(process.returncode, 1)
        self.assertIn("No space left on device", complaints(process)[0])
        self.assertFalse((disk / "run").exists())
        (disk / "filler").unlink()
        process = call(*ONE, "--out", disk / "run")  # everything but the model fits
        self.assertRegex(complaints(process)[0], r"--out .*: the [0-9.]+ MiB of the results are not available: No space left on device")
        self.assertEqual(process.returncode, 1)
        self.assertFalse((disk / "run").exists())


class Names(ProgramTest):
    STRANGE = b"\xff-\xe9 100%"

    def test_names_that_are_not_utf8_are_reversible_in_json(self):
        where = bytes(self.folder) + b"/"
        out, cache, scores = where + self.STRANGE, where + b"cache" + self.STRANGE, where + self.STRANGE + b".json"
        sample = where + b"data" + self.STRANGE
        shutil.copytree(bytes(ROOT / "data" / "sample"), sample)
        data = ["--data", "cifar10", "--data-root", sample]
        train = ["train", *data, *MACHINE, "--batch", "10", "--max-updates", "1", "--eval-batch", "100", "--out", out,
                 "--kernel-cache", cache]
        process = raw(*train)
        self.assertEqual((process.returncode, process.stderr.count(b"json.exception")), (0, 0), process.stderr)
        config = json.loads(pathlib.Path(os.fsdecode(out), "config.json").read_text(encoding="utf-8"))
        self.assertEqual(bytes_of(config["data_root"]), sample)
        self.assertEqual(bytes_of(config["kernel_cache"]), cache)
        self.assertEqual([bytes_of(word) for word in config["command"]], [os.fsencode(PROGRAM), *map(os.fsencode, train)])
        self.assertIn(self.STRANGE, bytes_of(config["data_source"]))

        model = out + b"/model.safetensors"
        process = raw("eval", "--net", "allcnn", "--weights", model, *data, *MACHINE, "--json", scores)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(bytes_of(json.loads(pathlib.Path(os.fsdecode(scores)).read_text())["weights"]), model)
        again = raw(*train, "--overwrite", "--init", model)
        self.assertEqual(again.returncode, 0, again.stderr)
        config = json.loads(pathlib.Path(os.fsdecode(out), "config.json").read_text(encoding="utf-8"))
        self.assertEqual(bytes_of(config["init"]), model)
        self.assertEqual(bytes_of(json.loads(raw("info", "--json", "--kernel-cache", cache).stdout)["kernel_cache"]), cache)

    def test_mistakes_with_such_names_are_one_line(self):
        for arguments in (["eval", "--net", "allcnn", "--weights"], ["gradients", "--net", "allcnn", "--out", "o", "--batch", "b", "--weights"],
                          [*ONE, "--init"], ["train", "--kernels"], ["train", "--data-root"], [*TRAIN, "--net"]):
            process = raw(*arguments, self.STRANGE, cwd=self.folder)
            self.assertIn(process.returncode, (1, 2), process.stderr)
            lines = process.stderr.splitlines()
            self.assertEqual(len(lines), 1, lines)
            self.assertIn(self.STRANGE, lines[0])
            self.assertNotIn(b"exception", lines[0])

    def test_empty_names_are_mistakes(self):
        needed = {"eval": ["--net", "allcnn", "--weights", "w"],
                  "gradients": ["--net", "allcnn", "--weights", "w", "--batch", "b", "--out", "o"]}
        for command, options in (("train", ["--out", "--init", "--data-root"]), ("eval", ["--weights", "--json", "--data-root"]),
                                 ("gradients", ["--weights", "--batch", "--out"])):
            for option in options:
                for empty in ([option, ""], [f"{option}="]):
                    rest = replace(needed.get(command, []), [option, "x"])
                    if option in rest:
                        at = rest.index(option)
                        rest = rest[:at] + rest[at + 2 :]
                    process = call(command, *rest, *empty, *([] if command != "train" else ["--overwrite"]), cwd=self.folder)
                    self.assert_refused(process, f"{option}: the name is empty", 2)
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(json.loads(call("info", "--json", "--kernel-cache", "").stdout)["kernel_cache"], "")
        self.assertEqual(json.loads(call("info", "--json", "--kernel-cache=").stdout)["kernel_cache"], "")


class Ranks(ProgramTest):
    def test_only_rank_0_runs_the_other_commands(self):
        model = self.train("a", "--max-updates", "1").path / "model.safetensors"
        out = self.folder / "scores.json"
        single = call("eval", "--net", "allcnn", "--weights", model, *DATA, *MACHINE, "--json", self.folder / "single.json")
        for _ in range(3):
            process = call("eval", "--net", "allcnn", "--weights", model, *DATA, *MACHINE, "--json", out, ranks=3)
            self.assertEqual((process.returncode, process.stderr), (0, single.stderr))
            self.assertEqual(process.stdout.count("test accuracy"), 1)
            self.assertEqual(process.stdout.split(" (")[0], single.stdout.split(" (")[0])
            self.assertEqual(json.loads(out.read_text())["state_sha256"], json.loads((self.folder / "single.json").read_text())["state_sha256"])
        self.assertEqual({p.name for p in self.folder.iterdir()}, {"a", "single.json", "scores.json"})
        process = call("info", "--json", ranks=3)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertGreaterEqual(json.loads(process.stdout)["cores"], 1)
        process = call("eval", "--net", "allcnn", "--weights", "/nowhere", *DATA, *MACHINE, ranks=3)
        self.assertEqual(len(complaints(process)), 1, process.stderr)
        self.assertNotEqual(process.returncode, 0)

    def test_the_launcher_determines_the_rank(self):
        for variables in ({"PMI_SIZE": "3", "PMI_RANK": "2"}, {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
                          {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, {"PMIX_RANK": "1"}):
            for command in (["info"], ["--version"]):
                process = call(*command, environment=variables)
                self.assertEqual((process.returncode, process.stdout, process.stderr), (0, "", ""), variables)
        self.assertNotEqual(call("info", environment={"PMI_SIZE": "3", "PMI_RANK": "0"}).stdout, "")

    def test_local_training_is_not_started_several_times_by_any_launcher(self):
        one = [*ONE, "--out", self.folder / "a"]
        for variables, count in (({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, "2"),
                                 ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}, "2"), ({"PMIX_RANK": "1"}, "several")):
            self.assert_refused(call(*one, environment=variables), f"trains in one process, but {count} were started", 2)
        silent = call(*one, environment={"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"})
        self.assertEqual((silent.returncode, silent.stdout, silent.stderr), (2, "", ""))
        self.assertEqual(list(self.folder.iterdir()), [])
        alone = call(*one, environment={"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"})
        self.assertEqual(alone.returncode, 0, alone.stderr)


class Surroundings(ProgramTest):
    def on_a_terminal(self, **variables):
        """The output of a short training on a terminal."""
        master, slave = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k not in ("TERM", "NO_COLOR")}
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "run"
        command = [PROGRAM, *replace(TRAIN, ["--max-updates", "1000000"]), "--out", str(folder)]
        process = subprocess.Popen(command, stderr=slave, stdout=subprocess.DEVNULL, env={**environment, **variables})
        os.close(slave)

        def stop():
            deadline = time.monotonic() + 100
            while not (folder / "config.json").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(1.5)  # from the first update on, long enough for a line or two that are redrawn
            process.send_signal(signal.SIGTERM)

        threading.Thread(target=stop).start()
        text = b""
        try:
            while chunk := os.read(master, 4096):
                text += chunk
        except OSError:  # the other side has closed
            pass
        os.close(master)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        self.assertIn(b"allcnn", text)
        return text

    def test_escape_codes_only_go_to_terminals_that_accept_them(self):
        self.assertIn(b"\x1b[K", self.on_a_terminal(TERM="xterm"))
        for variables in ({"TERM": "dumb"}, {}, {"TERM": "xterm", "NO_COLOR": "1"}):
            self.assertNotIn(b"\x1b", self.on_a_terminal(**variables), variables)

    def test_numbers_have_a_point_in_every_locale(self):
        locales = self.folder / "locales"
        locales.mkdir()
        made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(locales / "de_DE.UTF-8")], capture_output=True)
        if made.returncode not in (0, 1) or not (locales / "de_DE.UTF-8").exists():
            self.skipTest("a German locale cannot be made here")
        german = {"LOCPATH": str(locales), "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
        said = subprocess.run(["printf", "%.1f", "0"], capture_output=True, text=True, env={**os.environ, **german})
        command = [*replace(ONE, ["--lr", "0.0125"]), "--out"]
        plain = call(*command, self.folder / "plain", environment={"LC_ALL": "C"})
        other = call(*command, self.folder / "german", environment=german)
        self.assertEqual(other.returncode, 0, other.stderr)
        self.assertEqual(said.stdout, "0,0")  # the locale is in effect
        self.assertEqual(Run(self.folder / "german").config["lr"], 0.0125)
        self.assertEqual(Run(self.folder / "german").sha256(), Run(self.folder / "plain").sha256())
        self.assertEqual(other.stdout.splitlines()[0], plain.stdout.splitlines()[0])
        self.assertIn("--lr F=0.0001", call("train", "--help", environment=german).stdout)
        self.assert_refused(call("train", "--lr", "0,1", environment=german, cwd=self.folder), "expected a finite number, got '0,1'", 2)

    @unittest.skipIf(os.environ.get("APAM_SANITIZE"), "sanitizers need address space without a limit")
    def test_little_memory_is_one_line_with_the_sizes(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

        for data, line in ((DATA, "^apam: synthetic: .* 30000000 classes"), ([], r"^apam: allocate: .*CPU.* \d+ bytes")):
            command = [PROGRAM, "train", *data, *MACHINE, "--batch", "2", "--classes", "30000000", "--out", str(self.folder / "a")]
            process = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
            self.assertEqual((process.returncode, process.stdout), (1, ""))
            self.assertRegex(process.stderr, line)
            self.assertFalse((self.folder / "a").exists())


if __name__ == "__main__":
    unittest.main()
