#!/usr/bin/python3
"""check_layers against small trees that break one rule each."""
import importlib.machinery
import importlib.util
import os
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
loader = importlib.machinery.SourceFileLoader("check_layers", os.path.join(HERE, "check_layers"))
check_layers = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_layers", loader))
loader.exec_module(check_layers)

ARCHITECTURE = """
```units storage
units - sizes
hash - SHA-1
```
```units net
http_connection - requests
```
```units fs
fuse_session - the kernel's side
```
"""
GOOD = {
    "ARCHITECTURE.md": ARCHITECTURE,
    "storage/units.h": "#pragma once\n",
    "storage/hash.h": '#include "storage/units.h"\n',
    "storage/hash.cpp": '#include <openssl/sha.h>\n#include "storage/hash.h"\n',
    "net/http_connection.h": '#include <boost/asio/ssl.hpp>\n#include "storage/hash.h"\n',
    "fs/fuse_session.cpp": '#include <fuse3/fuse_lowlevel.h>\n#include "net/http_connection.h"\n',
}


class CheckLayersTest(unittest.TestCase):
    def findings(self, **changes):
        """Findings of the good tree with some files replaced (None: removed)."""
        files = {**GOOD, **{name.replace("__", "/"): text for name, text in changes.pop("files", {}).items()}}
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                if text is None:
                    continue
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                    file.write(text)
            return check_layers.check(root)

    def assert_only(self, expected, files):
        findings = self.findings(files=files)
        self.assertEqual(len(findings), 1, findings)
        self.assertIn(expected, findings[0])

    def test_a_good_tree_has_no_findings(self):
        self.assertEqual(self.findings(), [])

    def test_a_file_that_is_not_listed(self):
        self.assert_only("storage/extra.h: belongs to no unit", {"storage/extra.h": ""})

    def test_a_unit_without_a_file(self):
        self.assert_only("net/http_connection is listed but has no file", {"net/http_connection.h": None, "fs/fuse_session.cpp": ""})

    def test_an_include_of_a_higher_folder(self):
        self.assert_only("storage may not include net", {"storage/hash.h": '#include "net/http_connection.h"\n'})

    def test_an_include_of_a_later_unit(self):
        self.assert_only("listed after units", {"storage/units.h": '#include "storage/hash.h"\n'})

    def test_an_include_of_something_unknown(self):
        self.assert_only("no listed unit", {"storage/units.h": '#include "units.h"\n'})

    def test_libraries_stay_with_their_owner(self):
        for header, what in (
            ("fuse_lowlevel.h", "libfuse"),
            ("fuse3/fuse.h", "libfuse"),
            ("openssl/evp.h", "digests"),
            ("openssl/ssl.h", "OpenSSL"),
            ("boost/asio/ssl/context.hpp", "OpenSSL"),
            ("thread", "threads"),
            ("atomic", "threads"),
            ("condition_variable", "threads"),
        ):
            with self.subTest(header):
                self.assert_only(what, {"storage/units.h": f"#include <{header}>\n"})

    def test_an_include_in_a_long_comment_is_not_the_point_but_a_name_is(self):
        files = {"ARCHITECTURE.md": ARCHITECTURE.replace("units - sizes", "units - sizes\nunits_util - things"), "storage/units_util.h": ""}
        self.assert_only("the name says nothing", files)

    def test_a_long_file(self):
        self.assert_only("601 lines", {"storage/units.h": "int x;\n" * 601})

    def test_a_long_function(self):
        body = "  call(\"}\");  // }\n" * 70
        text = "namespace a {\nclass B {\n public:\n  int c(int d) const {\n" + body + "  }\n};\n}\n"
        self.assert_only("storage/units.h:4: c has 72 lines", {"storage/units.h": text})

    def test_functions_are_found_in_the_shapes_we_write(self):
        text = """
namespace a {
Foo::Foo(int x)
    : x_{x}, y_(1) {
  if (x) {
  }
}
enum class E : int { a, b };
const std::map<int, int> kTable = {
  {1, 2},
};
template <typename T>
Task<void> run(T t) {
  auto f = [&](int k) { return k; };
  co_return;
}
bool operator==(const A& a, const B& b) { return true; }
}
"""
        found = [(name, count) for name, _, count in check_layers.functions(text)]
        self.assertEqual(found, [("Foo::Foo", 5), ("run", 5), ("operator==", 1)])

    def test_the_list_itself_must_be_well_formed(self):
        self.assert_only("not 'unit - what it is'", {"ARCHITECTURE.md": ARCHITECTURE.replace("- SHA-1", "- SHA-1\nwhat") })


if __name__ == "__main__":
    unittest.main()
