#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Installs a build below a folder of its own and removes it again: every documented file arrives where a Debian
# dom0 expects it, and no file is left or missing afterwards, except an edited configuration.
#   tests/house/installation.py BUILD_FOLDER
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from documents import programs
from tree import TOP, paths

BUILD = Path(sys.argv.pop(1) if len(sys.argv) > 1 else TOP / "build/dev").resolve()
CONFIG = "etc/tapdisk/tapdisk.conf"
# Files of Xen's packages, which exist before the installation.
FOREIGN = {"etc/xen/scripts/block": "#!/bin/bash\n", "usr/share/man/man8/other.8": ".TH other 8\n"}


class Installation(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for name, content in FOREIGN.items():
            self.write(name, content)

    def write(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def cmake(self, *words):
        ran = subprocess.run(["cmake", *words], capture_output=True, text=True, env=os.environ | {"DESTDIR": str(self.root)})
        return ran.returncode, ran.stdout + ran.stderr

    def install(self):
        status, output = self.cmake("--install", str(BUILD))
        self.assertEqual(status, 0, output)
        return output

    def uninstall(self, succeeds=True):
        status, output = self.cmake("--build", str(BUILD), "--target", "uninstall")
        self.assertEqual(status == 0, succeeds, output)
        return " ".join(output.split())  # CMake breaks lines

    def files(self):
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}

    def only(self, name):
        """The one installed file of this name."""
        found = [path for path in self.root.rglob(name) if path.is_file()]
        self.assertEqual(len(found), 1, f"{name}: {found}")
        return found[0]

    def test_everything_arrives(self):
        self.install()
        for program in programs(TOP):
            self.assertTrue(os.access(self.only(program), os.X_OK), program)
        for page in paths(TOP, ".scd"):
            self.assertEqual(self.only(page.stem).parent.name, "man" + page.stem[-1])
        self.assertEqual((self.root / CONFIG).read_bytes(), (TOP / "control/tapdisk.conf").read_bytes())
        unit = self.only("tapback.service")
        self.assertTrue(str(unit).endswith("/lib/systemd/system/tapback.service"), unit)
        self.assertNotIn("@", unit.read_text())

    def test_systemd_understands_the_units(self):
        self.install()
        folder = self.root / "checked"
        folder.mkdir()
        for name in ("tapback.service", "tapdisks.service"):
            unit = self.only(name)
            started = re.search(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)[1]
            self.assertTrue(started == "/bin/true" or (self.root / started.lstrip("/")).is_file(), started)
            # It checks the programs that a unit starts; modprobe(8) is not installed by us.
            checked = folder / name
            checked.write_text(re.sub(r"^(ExecStart(?:Pre)?=-?)\S+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE))
            ran = subprocess.run(["systemd-analyze", "verify", "--man=no", str(checked)], capture_output=True, text=True)
            self.assertEqual((ran.returncode, ran.stderr), (0, ""))

    def test_nothing_is_left(self):
        before = self.files()
        self.install()
        self.assertNotEqual(self.files(), before)
        self.uninstall()
        self.assertEqual(self.files(), before)
        self.assertEqual([path for path in self.root.rglob("tapdisk")], [])

    def test_an_edited_configuration_survives(self):
        self.install()
        self.write(CONFIG, "poll-us = 50\n")
        self.assertIn("Kept, because it was edited", self.install())
        self.assertEqual((self.root / CONFIG).read_text(), "poll-us = 50\n")
        self.uninstall()
        self.assertEqual(self.files().keys(), FOREIGN.keys() | {CONFIG})

    def test_a_configuration_that_nobody_edited_is_replaced(self):
        self.install()
        old = "# an older sample\n"
        self.write(CONFIG, old)
        [pristine] = [path for path in self.root.rglob("tapdisk.conf") if path != self.root / CONFIG]
        pristine.write_text(old)
        self.install()
        self.assertEqual((self.root / CONFIG).read_bytes(), (TOP / "control/tapdisk.conf").read_bytes())

    def test_not_while_our_script_stands_in_for_xens(self):
        self.install()
        installed = self.files()
        self.write("etc/xen/scripts/block.xen", "#!/bin/bash\n")
        self.assertIn("tap-ctl takeover disable", self.uninstall(succeeds=False))
        (self.root / "etc/xen/scripts/block.xen").unlink()
        self.assertEqual(self.files(), installed)


class Builders(unittest.TestCase):
    """Builds of other people: without tests and without a test library, with an unknown compiler."""

    def test_without_tests_the_same_is_installed(self):
        for chosen in ("", "--preset=release"):
            with self.subTest(chosen), tempfile.TemporaryDirectory() as folder:
                self.configure(folder, *chosen.split(), "-DBUILD_TESTING=OFF", "-DCMAKE_DISABLE_FIND_PACKAGE_Catch2=ON")
                bare = self.rules(Path(folder))
                self.assertEqual(bare, self.rules(BUILD))
                for program in programs(TOP):
                    self.assertTrue(any(f"/bin/{program}\"" in rule for rule in bare), program)
                self.assertNotRegex(Path(folder, "build.ninja").read_text(), r"-Werror\s")

    def test_a_distributions_flags_have_the_last_word(self):
        theirs = {"CXXFLAGS": "-O2 -fno-stack-protector -D_FORTIFY_SOURCE=2", "LDFLAGS": "-Wl,-z,lazy"}
        with tempfile.TemporaryDirectory() as folder:
            self.configure(folder, "-DCMAKE_BUILD_TYPE=None", "-DBUILD_TESTING=OFF", environment=theirs)
            rules = Path(folder, "build.ninja").read_text()
        compiled = set(re.findall(r"^  FLAGS = (.*)", rules, re.MULTILINE))
        self.assertTrue(compiled)
        for flags in compiled:
            self.assertLess(flags.find("-fstack-protector-strong"), flags.find("-fno-stack-protector"), flags)
            self.assertEqual(re.findall(r"FORTIFY_SOURCE=\d", flags), ["FORTIFY_SOURCE=2"])
        linked = re.findall(r"^  LINK_FLAGS = (.*-static-libgcc.*)", rules, re.MULTILINE)
        self.assertEqual(len(linked), len(set(programs(TOP))))
        for flags in linked:
            self.assertLess(flags.find("-z,now"), flags.find("-z,lazy"), flags)

    def configure(self, folder, *options, environment={}):
        ran = subprocess.run(["cmake", "-G", "Ninja", "-S", str(TOP), "-B", folder, *options], capture_output=True, text=True,
                             env=os.environ | environment)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def rules(self, build):
        """The files that the installation of a build folder would copy, and their destinations."""
        scripts = [path.read_text() for path in build.rglob("cmake_install.cmake")]
        rules = re.findall(r"file\(INSTALL [^)]*\)", "".join(scripts))
        return {rule.replace(str(build), "BUILD") for rule in rules}


if __name__ == "__main__":
    if not shutil.which("systemd-analyze"):
        sys.exit("systemd-analyze is missing: tests/support/install-packages test")
    unittest.main()
