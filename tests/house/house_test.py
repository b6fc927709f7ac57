#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Tests of the house tests: each finds the fault in a small tree made for it, and nothing in the same tree without it.
import tempfile
import unittest
from pathlib import Path

import classes
import commands
import constants
import documents
import formats
import layers
import messages
import rooms
import service
import sources
import threats
import twins
import words

LICENCE = "// SPDX-License-Identifier: BSD-2-Clause\n// Copyright (c) 2026, somebody\n"
PRESETS = '{"configurePresets": [{"name": "dev"}]}'


class ChecksFindFaults(unittest.TestCase):
    def findings(self, check, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            return list(check(Path(folder).resolve()))

    def assert_finds(self, check, expected, bad, good):
        found = self.findings(check, bad)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])
        self.assertEqual(self.findings(check, good), [])

    def test_a_number_in_a_document_is_the_constant(self):
        rows = [("docs/a.md", r"at most ([\d,]+) (KiB)", "tapdisk/a.hpp", "size_max_bytes")]
        for worth in ("64 * 1024", "std::size_t{64} << 10", "65'536"):
            good = {"docs/a.md": "at most 64 KiB", "tapdisk/a.hpp": f"static constexpr std::size_t size_max_bytes = {worth};"}
            self.assertEqual(self.findings(lambda top: constants.check(top, rows), good), [])
        for bad, what in (({"docs/a.md": "at most 65 KiB"}, "says 65"), ({"docs/a.md": "64 KiB"}, "has no text"),
                          ({"tapdisk/a.hpp": ""}, "has no constant")):
            found = self.findings(lambda top: constants.check(top, rows), {**good, **bad})
            self.assertEqual(len(found), 1)
            self.assertIn(what, found[0])

    def test_a_class_has_few_functions_and_members(self):
        functions = "".join(f"    int f{i}(int a = g(), std::map<int, int> b = {{}}) const;\n" for i in range(40))
        members = "".join(f"    std::function<int(int)> m{i}_{{1}};\n" for i in range(20))
        rest = "    A(const A&) = delete;\n    ~A();\n    using B = int;\n    struct C { int x, y; };\n    static constexpr int d = 1;\n"
        few = f"class A {{\n  public:\n{functions}{members}}};\n"
        for path in ("tapdisk/a.hpp", "tests/a.cpp"):
            self.assert_finds(classes.check_size, "A has 41 functions and 20 members",
                              {path: few.replace("};\n", "    void g();\n};\n")}, {path: few})
            self.assert_finds(classes.check_size, "A has 1 functions and 21 members",
                              {path: f"class A {{\n{rest}{members}    Nanoseconds last_ = now(1);\n}};\n"},
                              {path: f"class A {{\n{rest}{members}}};\n"})

    def test_a_class_that_may_be_larger_needs_it_and_has_a_limit(self):
        def class_of(functions):
            return {"tests/a.hpp": "class A {\n" + "".join(f"    void f{i}();\n" for i in range(functions)) + "};\n"}
        may = {"tests/a.hpp:A": (45, 20, "a reason")}
        self.assert_finds(lambda top: classes.check_size(top, may), "A has 46 functions", class_of(46), class_of(45))
        self.assert_finds(lambda top: classes.check_exceptions(top, may), "does not exist", {"tests/a.hpp": ""}, class_of(41))
        self.assert_finds(lambda top: classes.check_exceptions(top, may), "needs none", class_of(40), class_of(41))
        for size in ((51, 20), (41, 26)):
            found = self.findings(lambda top: classes.check_exceptions(top, {"tests/a.hpp:A": (*size, "")}), class_of(41))
            self.assertEqual(found, ["tests/house/classes.py: tests/a.hpp:A: no exception may have more than 50 and 25"])
        six = {f"tests/a.hpp:A{i}": (41, 20, "") for i in range(6)}
        found = self.findings(lambda top: classes.check_exceptions(top, six), {
            "tests/a.hpp": "".join(class_of(41)["tests/a.hpp"].replace("A", f"A{i}") for i in range(6))})
        self.assertEqual(found, ["tests/house/classes.py: 6 exceptions, at most 5"])

    def test_a_class_is_defined_in_one_source(self):
        header = "class A {\n    void f();\n    void g();\n};\n"
        one = '#include "tapdisk/a.hpp"\nvoid A::f() {}\n'
        self.assert_finds(classes.check_one_source, "A is defined in tapdisk/a.cpp, tapdisk/b.cpp",
                          {"tapdisk/a.hpp": header, "tapdisk/a.cpp": one, "tapdisk/b.cpp": one},
                          {"tapdisk/a.hpp": header, "tapdisk/a.cpp": one, "tapdisk/b.cpp": one.replace("A::f", "f")})

    def test_a_folder_has_few_rooms(self):
        few = {f"tapdisk/a{i}.{end}": "" for i in range(20) for end in ("hpp", "cpp")}
        few |= {"tapdisk/CMakeLists.txt": "", "tapdisk/README.md": "", "tapdisk/ring/b.cpp": "", "docs/b.md": ""}
        def check(top):
            return rooms.check(top, {})
        self.assert_finds(check, "tapdisk: 21 rooms", {**few, "tapdisk/b": ""}, few)
        self.assert_finds(check, "tapdisk: 21 rooms", {**few, "tapdisk/b.cpp": ""}, few)
        may = {"tapdisk": (21, "a reason")}
        more = {**few, "tapdisk/b.cpp": ""}
        self.assert_finds(lambda top: rooms.check(top, may), "tapdisk: 22 rooms", {**more, "tapdisk/c.cpp": ""}, more)
        self.assert_finds(lambda top: rooms.check(top, may), "needs none", few, more)

    def test_a_readme_names_each_file_of_its_folder(self):
        self.assert_finds(documents.check_readmes, "does not name b",
                          {"tapdisk/a.cpp": "", "tapdisk/b.hpp": "", "tapdisk/README.md": "`a`"},
                          {"tapdisk/a.cpp": "", "tapdisk/b.hpp": "", "tapdisk/README.md": "`a`, `b`"})
        self.assert_finds(documents.check_readmes, "does not exist",
                          {"tapdisk/a.cpp": ""}, {"tapdisk/a.cpp": "", "tapdisk/README.md": "`a`"})

    def test_a_lower_folder_may_not_include_a_higher_one(self):
        self.assert_finds(layers.check, "libblktap/ring may not include libblktap/xen/x.hpp",
                          {"libblktap/ring/a.cpp": '#include "libblktap/xen/x.hpp"\n'},
                          {"libblktap/ring/a.cpp": '#include "libblktap/base/x.hpp"\n'})

    def test_a_driver_may_not_include_the_ring(self):
        self.assert_finds(layers.check, "drivers may not include",
                          {"drivers/raw/a.cpp": '#include "libblktap/ring/wire.hpp"\n'},
                          {"drivers/raw/a.cpp": '#include "drivers/shared/growth.hpp"\n'})

    def test_what_a_format_says_of_itself_needs_no_driver(self):
        self.assert_finds(layers.check, "drivers/formats may not include drivers/raw/raw_driver.hpp",
                          {"drivers/raw/format.hpp": '#include "drivers/raw/raw_driver.hpp"\n'},
                          {"drivers/raw/format.hpp": '#include "drivers/formats/format.hpp"\n'})
        self.assert_finds(layers.check, "drivers/formats may not include drivers/shared/options.hpp",
                          {"drivers/formats/a.cpp": '#include "drivers/shared/options.hpp"\n'},
                          {"drivers/formats/a.cpp": '#include "drivers/raw/format.hpp"\n'})

    def test_tapback_knows_formats_and_no_driver(self):
        self.assert_finds(layers.check, "control/tapback may not include drivers/qcow2/metadata/header.hpp",
                          {"control/tapback/a.cpp": '#include "drivers/qcow2/metadata/header.hpp"\n'},
                          {"control/tapback/a.cpp": '#include "drivers/formats/formats.hpp"\n'})

    def test_a_program_knows_formats_by_the_registries_alone(self):
        for path in ("tapdisk/a.cpp", "control/tap_ctl/a.cpp"):
            self.assert_finds(layers.check, "may not include drivers/qcow2/create.hpp",
                              {path: '#include "drivers/qcow2/create.hpp"\n'}, {path: '#include "drivers/registry.hpp"\n'})

    def test_no_format_is_named_outside_of_its_folder(self):
        known = {"drivers/vhd/format.hpp": 'Format format{.name = "vhd", .tap_type = "vpc"};'}
        for bad in ('if (format == "vhd")', '"in blocks (VHD)"', '"vhd:PATH"', '"vpc:"'):
            with self.subTest(bad):
                self.assert_finds(formats.check, "names the format", known | {"control/a.cpp": bad + "\n"},
                                  known | {"drivers/vhd/a.cpp": bad + "\n", "tests/a.cpp": bad + "\n",
                                           "control/a.cpp": '"for example vhd:/srv/a", "--vhd-rows" // "vpc:"\n'})

    def test_a_message_is_named_in_its_declaration_alone(self):
        declared = {"libblktap/ipc/messages.hpp": 'static constexpr const char* name = "pause";'}
        for bad in ('channel.call("pause");', 'if (request.name == "pause")', '{{"request", "pause"}}', 'check_use("pause", go_on);',
                    'constexpr const char* what = "pause";'):
            with self.subTest(bad):
                self.assert_finds(messages.check, '"pause" is a message', declared | {"control/a.cpp": bad + "\n"},
                                  declared | {"tests/a.cpp": bad + "\n",
                                              "control/a.cpp": 'call(Pause{});  // "pause"\nlog::info("pause");\n'
                                                               'add_command(app, line, "pause", pause);\n'})

    def test_a_disk_may_include_neither_ring_nor_xen(self):
        for name in ("tapdisk/ring/a.hpp", "libblktap/ring/a.hpp", "libblktap/xen/a.hpp"):
            self.assert_finds(layers.check, f"tapdisk/disk may not include {name}",
                              {"tapdisk/disk/a.cpp": f'#include "{name}"\n'},
                              {"tapdisk/ring/a.cpp": f'#include "{name}"\n'})

    def test_the_simulated_guest_may_not_include_tapdisk(self):
        self.assert_finds(layers.check, "tests/replay may not include",
                          {"tests/replay/a.cpp": '#include "tapdisk/vbd.hpp"\n'},
                          {"tests/unit/a.cpp": '#include "tapdisk/vbd.hpp"\n'})

    def test_xen_headers_have_one_owner(self):
        self.assert_finds(layers.check, "<xengnttab.h> is for",
                          {"tapdisk/a.cpp": "#include <xengnttab.h>\n"},
                          {"libblktap/xen/a.cpp": "#include <xengnttab.h>\n"})

    def test_kill_is_called_where_its_pid_is_one_process_only(self):
        self.assert_finds(layers.check_kill, "kill(2) is for",
                          {"tests/unit/a.cpp": "::kill(pid, SIGKILL);\n"},
                          {"tests/unit/a.cpp": "Peer::kill() {}\n", "tests/support/a.cpp": "::kill(pid, SIGKILL);\n"})

    def test_xenstore_has_an_owner_of_its_own(self):
        self.assert_finds(layers.check, "<xenstore.h> is for libblktap/xenstore",
                          {"libblktap/xen/a.cpp": "#include <xenstore.h>\n"},
                          {"libblktap/xenstore/a.cpp": "#include <xenstore.h>\n"})

    def test_a_new_folder_needs_a_row(self):
        self.assert_finds(layers.check, "has no row", {"newcomer/a.cpp": ""}, {"tapdisk/a.cpp": ""})

    def test_a_piece_of_one_format_is_not_copied_into_another(self):
        piece = [f"int line_{number} = {number};" for number in range(6)]
        copied = {"drivers/qcow2/a.cpp": LICENCE + "//\n" + "\n".join(piece),
                  "drivers/vhd/b.cpp": LICENCE + "//\n" + "\n{\n".join(piece)}
        shorter = {"drivers/qcow2/a.cpp": LICENCE + "//\n" + "\n".join(piece),
                   "drivers/vhd/b.cpp": LICENCE + "//\n" + "\n".join(piece[1:])}
        self.assert_finds(twins.check, "6 lines are the same at drivers/vhd/b.cpp:4", copied, shorter)

    def test_a_source_that_is_not_built_is_dead(self):
        self.assert_finds(sources.check_built, "no CMakeLists.txt names it",
                          {"a/CMakeLists.txt": "# f(x.cpp)\n", "a/x.cpp": ""},
                          {"a/CMakeLists.txt": "f(x.cpp)\n", "a/x.cpp": ""})

    def test_a_source_that_is_built_exists(self):
        self.assert_finds(sources.check_built, "names a/y.cpp",
                          {"a/CMakeLists.txt": "f(x.cpp y.cpp)\n", "a/x.cpp": ""},
                          {"a/CMakeLists.txt": "f(x.cpp ${PROJECT_SOURCE_DIR}/b/y.cpp)\n", "a/x.cpp": "", "b/y.cpp": ""})

    def test_a_header_that_nobody_includes_is_dead(self):
        self.assert_finds(sources.check_headers_used, "nothing includes it",
                          {"a/x.hpp": "", "a/x.cpp": "#include <a/x.hpp>\n"},
                          {"a/x.hpp": "", "a/x.cpp": '#include "a/x.hpp"\n'})

    def test_a_file_names_its_licence(self):
        self.assert_finds(sources.check_shape, "licence", {"a.cpp": "\n"}, {"a.cpp": LICENCE})

    def test_a_file_stays_short(self):
        self.assert_finds(sources.check_shape, "401 lines", {"a.cpp": LICENCE + "\n" * 399}, {"a.cpp": LICENCE + "\n" * 398})

    def test_paths_of_a_machine_are_found(self):
        self.assert_finds(words.check, "somebody's machine", {"a.md": "see /ho" + "me/me/x\n"}, {"a.md": "see ho" + "me/x\n"})

    def test_a_link_that_leads_nowhere_is_found(self):
        self.assert_finds(documents.check_links, "link to b.md",
                          {"a.md": "[b](b.md)\n"}, {"a.md": "[b](b.md) [c](https://x.org/y)\n", "b.md": ""})

    def test_a_link_to_no_heading_is_found(self):
        self.assert_finds(documents.check_links, "no heading",
                          {"a.md": "[b](#the-end)\n# Begin\n"}, {"a.md": "[b](#the-end)\n# The end\n"})

    def test_a_comment_that_names_a_lost_file_is_found(self):
        self.assert_finds(documents.check_named_files, "tests/unit/x_test.cpp",
                          {"a.hpp": "// Tested by tests/unit/x_test.cpp\n"},
                          {"a.hpp": "// Tested by tests/unit/x_test.cpp\n", "tests/unit/x_test.cpp": ""})

    def test_a_comment_that_names_a_lost_decision_is_found(self):
        self.assert_finds(documents.check_named_files, "docs/decisions/0042",
                          {"a.hpp": "// docs/decisions/0042\n"},
                          {"a.hpp": "// docs/decisions/0042\n", "docs/decisions/0042-why.md": ""})

    def test_a_program_needs_a_man_page(self):
        program = {"a/CMakeLists.txt": "blktap_program(prog SOURCES main.cpp)\n"}
        self.assert_finds(documents.check_man_pages, "no page for the program prog",
                          program, program | {"docs/man/prog.8.scd": ""})

    def test_a_driver_needs_a_man_page(self):
        driver = {"drivers/raw/raw.cpp": ""}
        self.assert_finds(documents.check_man_pages, "no page for the driver raw",
                          driver, driver | {"docs/man/blktap-raw.7.scd": ""})

    def test_a_man_page_that_is_named_exists(self):
        self.assert_finds(documents.check_man_pages, "prog(1)",
                          {"docs/man/prog.8.scd": "", "a.md": "see prog(1)\n"},
                          {"docs/man/prog.8.scd": "", "a.md": "see prog(8), open(2)\n"})

    def test_a_command_that_cannot_be_typed_is_found(self):
        for bad, expected in (("./gone.sh", "./gone.sh does not exist"), ("cmake --preset odd", "no preset odd"),
                              ("cmake --build --preset dev --target gone", "no target gone"),
                              ("build/dev/bin/gone --help", "no program gone")):
            with self.subTest(bad):
                self.assert_finds(commands.check, expected,
                                  {"CMakePresets.json": PRESETS, "a.md": f"```sh\n{bad}\n```\n"},
                                  {"CMakePresets.json": PRESETS, "a.md": f"```text\n{bad}\n```\n"})

    def test_a_threat_has_tests_that_exist_and_name_its_advisories(self):
        def page(proof, threat="a storm (XSA-7, 8)"):
            return {threats.PAGE: f"| threat | what we do | proof |\n|---|---|---|\n| {threat} | this | {proof} |\n"}
        test = {"tests/a_test.cpp": "[XSA-7][XSA-8]"}
        good = page("tests/a_test.cpp") | test
        def check(top):
            return threats.check(top, {"XSA-8"})
        self.assert_finds(check, "tests/b_test.cpp, which does not exist", page("tests/a_test.cpp, tests/b_test.cpp") | test, good)
        self.assert_finds(check, "names XSA-8", good | {"tests/a_test.cpp": "[XSA-7][XSA-81]"}, good)
        self.assert_finds(check, "says nothing of XSA-8", page("none", "a storm"), page("none", "a storm (XSA-521)") | good)
        self.assert_finds(threats.check_tests, "names XSA-9", good | {"tests/c_test.cpp": "[XSA-9]"}, good)

    def test_a_unit_without_a_needed_setting_is_found(self):
        units = {service.UNIT: service.REQUIRED, service.GROUPS: service.REQUIRED_OF_GROUPS}
        needed = {str(unit): [f"[{section}]\n{name}={value.lstrip('=')}\n" for section, name, value, _ in required]
                  for unit, required in units.items()}
        needed[str(service.UNIT)].append(f"[Service]\nCapabilityBoundingSet={' '.join(service.CAPABILITIES)}\n")
        whole = {unit: "".join(settings) for unit, settings in needed.items()}
        for unit, settings in needed.items():
            for missing in settings:
                with self.subTest(missing):
                    self.assert_finds(service.check, "is missing", whole | {unit: whole[unit].replace(missing, "")}, whole)
        for setting in ("PrivateTmp=yes", "SystemCallFilter=@system-service", "Requires=xenstored.service", "MemoryMax=1G", "DeviceAllow=/dev/xen/gntdev"):
            with self.subTest(setting):
                self.assert_finds(service.check, setting.partition("=")[0],
                                  whole | {str(service.UNIT): whole[str(service.UNIT)] + setting + "\n"}, whole)
        for name in service.CAPABILITIES:
            with self.subTest(name):
                self.assert_finds(service.check, f"{name} is missing", whole | {str(service.UNIT): whole[str(service.UNIT)].replace(name, "")}, whole)
        self.assert_finds(service.check, "CAP_SYS_MODULE: nobody",
                          whole | {str(service.UNIT): whole[str(service.UNIT)].replace("CAP_KILL", "CAP_KILL CAP_SYS_MODULE")}, whole)


if __name__ == "__main__":
    unittest.main()
