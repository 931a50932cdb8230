#!/usr/bin/env python3
"""Tests of cmake/WriteCommit.cmake on temporary repositories."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GIT = shutil.which("git")
IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@a", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@a"}


def git(folder, *arguments):
    process = subprocess.run([GIT, *arguments], cwd=folder, env={**os.environ, **IDENTITY}, check=True, capture_output=True, text=True)
    return process.stdout.strip()


class Commit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.output = self.folder / "commit.cpp"

    def commit_of(self, source, program=GIT):
        subprocess.run([os.environ.get("APAM_CMAKE", "cmake"), f"-DGIT={program or ''}", f"-DSOURCE={source}",
                        f"-DTEMPLATE={ROOT / 'apam' / 'training' / 'commit.cpp.in'}", f"-DOUTPUT={self.output}",
                        "-P", str(ROOT / "cmake" / "WriteCommit.cmake")], check=True)
        return re.search(r'kCommit = "(.*)";', self.output.read_text()).group(1)

    def repository(self, name):
        source = self.folder / name
        source.mkdir()
        git(source, "init", "--quiet")
        (source / "file").write_text("one")
        git(source, "add", "file")
        git(source, "commit", "--quiet", "-m", "one")
        return source

    @unittest.skipIf(GIT is None, "git is not installed")
    def test_commit_is_updated_in_every_build(self):
        source = self.repository("source")
        first = git(source, "rev-parse", "HEAD")[:7]
        self.assertEqual(self.commit_of(source), first)
        written = self.output.stat().st_mtime_ns
        self.assertEqual(self.commit_of(source), first)
        self.assertEqual(self.output.stat().st_mtime_ns, written)  # so nothing is recompiled
        (source / "new").write_text("not added")
        self.assertEqual(self.commit_of(source), first)
        (source / "file").write_text("two")
        self.assertEqual(self.commit_of(source), f"{first}-dirty")
        git(source, "commit", "--quiet", "-a", "-m", "two")
        git(source, "tag", "-a", "-m", "a tag", "v1")
        second = git(source, "rev-parse", "HEAD")[:7]
        self.assertNotEqual(second, first)
        self.assertEqual(self.commit_of(source), second)

    @unittest.skipIf(GIT is None, "git is not installed")
    def test_commit_is_unknown_without_history(self):
        copy = self.repository("other") / "copy"
        copy.mkdir()
        self.assertEqual(self.commit_of(copy), "unknown")
        (self.folder / "plain").mkdir()
        self.assertEqual(self.commit_of(self.folder / "plain"), "unknown")

    def test_commit_is_unknown_without_git(self):
        self.assertEqual(self.commit_of(ROOT, program=""), "unknown")


if __name__ == "__main__":
    unittest.main()
