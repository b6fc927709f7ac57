// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
// Which files a disk gets: the rules, and the files that are opened by them, without a process between the two.
#include <atomic>
#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <thread>

#include "libblktap/base/error.hpp"
#include "libblktap/files/image_lock.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapback/storage/judged_files.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace blktap::testing;

namespace {

ipc::OpenArguments image(const std::string& path, Access access = Access::read_write) {
    ipc::OpenArguments arguments;
    arguments.format = "raw";
    arguments.path = path;
    arguments.read_only = access == Access::read_only;
    return arguments;
}

/// Opens an image as its own tapdisk would.
UniqueFd open_image(JudgedFiles& files, const std::string& vbd, const std::string& path,
                    Access access = Access::read_write) {
    return files.open(vbd, image(path, access), {path, access == Access::read_only, false});
}

std::system_error refusal(JudgedFiles& files, const std::string& path) {
    return thrown([&] { open_image(files, "5/51712", path); });
}

bool can_be_written_by_another(const std::string& path) {
    const UniqueFd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
    try {
        return lock_image(fd.get(), path, Access::read_write);
    } catch (const std::system_error&) {
        return false;
    }
}

/// Two folders: files of the first may be opened.
struct Folders {
    Folders() {
        for (const char* name : {"images", "images-old"})
            REQUIRE(::mkdir(all.path(name).c_str(), 0700) == 0);
    }
    TemporaryDirectory all{};
    JudgedFiles files{{all.path("images"), all.path("absent")}};
};

void link(const std::string& target, const std::string& name) {
    REQUIRE(::symlink(target.c_str(), name.c_str()) == 0);
}

/// A disk's image, and files that it may name: one below its folder, one beside that, and a link to that below.
struct Chain {
    Chain() {
        for (const char* name : {"images/vm", "images/vm/sub", "images/bases"})
            REQUIRE(::mkdir(f.all.path(name).c_str(), 0700) == 0);
        top = f.all.make_file("images/vm/top", 4096);
        below = f.all.make_file("images/vm/sub/base", 4096);
        beside = f.all.make_file("images/bases/base", 4096);
        by_link = f.all.path("images/vm/link");
        link(beside, by_link);
        image.path = top;
        image.format = "qcow2";
    }
    void open_top() { files.open("5/51712", image, {top, false, false}); }
    UniqueFd open(JudgedFiles& by, const std::string& path, const std::string& named_by = {}) const {
        return by.open("5/51712", image, {path, true, false, named_by});
    }
    Folders f{};
    std::string top{}, below{}, beside{}, by_link{};
    ipc::OpenArguments image{};
    JudgedFiles files{{"/"}};
};

}  // namespace

TEST_CASE("image files: a file inside of the directories is opened for direct I/O", "[unit][tapback]") {
    Folders f;
    const std::string path = f.all.make_file("images/disk", 4096);
    const UniqueFd fd = open_image(f.files, "5/51712", path);
    CHECK((::fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_DIRECT)) == (O_RDWR | O_DIRECT));
    CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("image files: a file elsewhere is refused, whether it exists or not", "[unit][tapback]") {
    Folders f;
    for (const std::string& path : {f.all.make_file("disk", 4096), f.all.make_file("images-old/disk", 4096),
                                    f.all.path("absent-too"), f.all.path("images/../disk")}) {
        const auto error = refusal(f.files, path);
        CHECK(error.code() == std::errc::operation_not_permitted);
        CHECK_THAT(error.what(), Catch::StartsWith(path + ": outside of image-directories (" + f.all.path("images") +
                                                   ", " + f.all.path("absent") + ")"));
    }
}

TEST_CASE("image files: a symbolic link counts as what it leads to", "[unit][tapback]") {
    Folders f;
    link(f.all.make_file("disk", 4096), f.all.path("images/out"));
    link(f.all.make_file("images/disk", 4096), f.all.path("in"));
    link(f.all.path("images"), f.all.path("also"));
    CHECK(refusal(f.files, f.all.path("images/out")).code() == std::errc::operation_not_permitted);
    CHECK(open_image(f.files, "5/51712", f.all.path("in")));
    JudgedFiles by_link{{f.all.path("also")}};
    f.files.release("5/51712");
    CHECK(open_image(by_link, "5/51712", f.all.path("images/disk")));
}

TEST_CASE("image files: a path that is exchanged while it is opened leads nowhere else", "[unit][tapback]") {
    Folders f;
    const std::string path = f.all.make_file("images/disk", 4096);
    struct stat outside {};
    REQUIRE(::stat(f.all.make_file("disk", 4096).c_str(), &outside) == 0);
    link(f.all.path("disk"), f.all.path("images/link"));
    std::atomic<bool> end = false;
    std::thread exchanger{[&] {
        while (!end)
            ::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, f.all.path("images/link").c_str(), RENAME_EXCHANGE);
    }};
    int opened_outside = 0;
    for (int round = 0; round < 2000; ++round) {
        try {
            struct stat status {};
            ::fstat(open_image(f.files, "5/51712", path).get(), &status);
            if (status.st_ino == outside.st_ino) ++opened_outside;
        } catch (const std::system_error&) {  // it was the link
        }
        f.files.release("5/51712");
    }
    end = true;
    exchanger.join();
    CHECK(opened_outside == 0);
}

TEST_CASE("image files: the root directory allows everything, but no relative path", "[unit][tapback]") {
    Folders f;
    JudgedFiles all{{"/"}};
    CHECK(open_image(all, "5/51712", f.all.make_file("disk", 4096)));
    CHECK(refusal(all, "disk").code() == std::errc::invalid_argument);
}

TEST_CASE("image files: an absent file is said to be absent", "[unit][tapback]") {
    Folders f;
    const auto error = refusal(f.files, f.all.path("images/disk"));
    CHECK(error.code() == std::errc::no_such_file_or_directory);
    CHECK_THAT(error.what(), Catch::StartsWith(f.all.path("images/disk") + ": "));
}

TEST_CASE("image files: a tapdisk gets its own image only, and not more of it than was granted", "[unit][tapback]") {
    Folders f;
    const std::string own = f.all.make_file("images/own", 4096);
    const std::string other = f.all.make_file("images/other", 4096);
    const auto asks = [&](const ipc::OpenArguments& granted, const ipc::OpenFileArguments& file) {
        return thrown([&] { f.files.open("5/51712", granted, file); }).code();
    };
    CHECK(asks(image(own), {other, true, false}) == std::errc::operation_not_permitted);
    CHECK(asks(image(own, Access::read_only), {own, false, false}) == std::errc::operation_not_permitted);
    CHECK(f.files.open("5/51712", image(own), {own, true, false}));
}

TEST_CASE("image files: a format with backing files gets others to read, inside of the directories",
          "[unit][tapback]") {
    Folders f;
    const std::string path = f.all.make_file("images/disk", 4096);
    const std::string base = f.all.make_file("images/base", 4096);
    ipc::OpenArguments overlay = image(path);
    overlay.format = GENERATE("qcow2", "vhd");
    CHECK_THAT(thrown([&] {
                   f.files.open("5/51712", overlay, {base, true, false});
               }).what(),
               Catch::Contains("no image of this disk names it"));
    f.files.open("5/51712", overlay, {path, false, false});
    const UniqueFd fd = f.files.open("5/51712", overlay, {base, true, false});
    CHECK((::fcntl(fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK(thrown([&] {
              f.files.open("5/51712", overlay, {base, false, false});
          }).code() == std::errc::operation_not_permitted);
    const std::string outside = f.all.make_file("outside", 4096);
    CHECK(thrown([&] {
              f.files.open("5/51712", overlay, {outside, true, false});
          }).code() == std::errc::operation_not_permitted);
}

TEST_CASE("image files: what an image names is opened below its folder only, or in the backing directories",
          "[unit][tapback]") {
    Chain t;
    t.open_top();
    CHECK(t.open(t.files, t.below));
    for (const std::string& path : {t.beside, t.by_link, t.f.all.path("images/vm/../bases/base")}) {
        const auto refused = thrown([&] { t.open(t.files, path); });
        CHECK(refused.code() == std::errc::operation_not_permitted);
        CHECK_THAT(refused.what(), Catch::StartsWith(path + ": only the image " + t.top) &&
                                       Catch::Contains("not below " + t.f.all.path("images/vm")) &&
                                       Catch::EndsWith("backing-directories (none)"));
    }
    t.files.forget("5/51712");
    JudgedFiles configured{{t.f.all.path("images/vm")}, {t.f.all.path("absent"), t.f.all.path("images/bases")}};
    configured.open("5/51712", t.image, {t.top, false, false});
    for (const std::string& path : {t.beside, t.by_link})
        CHECK(t.open(configured, path));
}

TEST_CASE("image files: which image names a file is said by the tapdisk, and only of images that its disk has",
          "[unit][tapback]") {
    Chain t;
    t.open_top();
    const std::string deeper = t.f.all.make_file("images/vm/sub/deeper", 4096);
    const std::string neighbour = t.f.all.make_file("images/vm/neighbour", 4096);
    CHECK_THAT(thrown([&] { t.open(t.files, deeper, t.below); }).what(), Catch::Contains("no image of this disk"));
    t.open(t.files, t.below);
    CHECK(t.open(t.files, deeper, t.below));
    // The folder of the one that names it, which is not the disk's.
    CHECK_THAT(thrown([&] { t.open(t.files, neighbour, t.below); }).what(),
               Catch::Contains("not below " + t.f.all.path("images/vm/sub")));
    // Nobody's image, though the operator named it.
    t.image.options["data-file"] = neighbour;
    t.files.open("5/51712", t.image, {neighbour, false, false});
    CHECK(thrown([&] { t.open(t.files, t.beside, neighbour); }).code() == std::errc::operation_not_permitted);
}

TEST_CASE("image files: what a disk had when it was found is granted again, to that image and until the disk is gone",
          "[unit][tapback]") {
    Chain t;
    t.files.keep("before", t.image, {t.top, false, false}, UniqueFd{::open(t.top.c_str(), O_RDWR | O_CLOEXEC)});
    t.files.keep("before", t.image, {t.beside, true, false}, UniqueFd{::open(t.beside.c_str(), O_RDONLY | O_CLOEXEC)});
    t.files.hand_over("before", "5/51712");
    t.files.release("5/51712");  // paused
    t.open_top();
    CHECK(t.open(t.files, t.beside));
    t.files.release("5/51712");
    ipc::OpenArguments other = t.image;
    other.path = t.f.all.make_file("images/vm/other", 4096);
    t.files.open("5/51712", other, {other.path, false, false});
    CHECK(thrown([&] {
              t.files.open("5/51712", other, {t.beside, true, false});
          }).code() == std::errc::operation_not_permitted);
    t.files.release("5/51712");
    t.open_top();
    SECTION("another file of that name is not") {
        REQUIRE(::rename(t.f.all.make_file("images/new", 4096).c_str(), t.beside.c_str()) == 0);
    }
    SECTION("nor is it after the disk's end") {
        t.files.forget("5/51712");
        t.open_top();
    }
    CHECK(thrown([&] { t.open(t.files, t.beside); }).code() == std::errc::operation_not_permitted);
}

TEST_CASE("image files: an image on a block device names no file by itself", "[unit][tapback][root]") {
    if (!LoopDevice::available()) return;
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("one", 1 << 20), 512};
    const LoopDevice other{directory.make_file("other", 1 << 20), 512};
    ipc::OpenArguments image;
    image.format = "vhd";
    image.path = device.path();
    const auto open = [&](JudgedFiles& files, const std::string& path) {
        return files.open("5/51712", image, {path, true, false});
    };
    JudgedFiles files{{"/"}};
    open(files, device.path());
    CHECK_THAT(thrown([&] { open(files, other.path()); }).what(),
               Catch::Contains("a block device, names it") && Catch::Contains("backing-directories"));
    JudgedFiles configured{{"/"}, {"/dev"}};
    open(configured, device.path());
    CHECK(open(configured, other.path()));
}

TEST_CASE("image files: a data file is written only where the operator names it", "[unit][tapback]") {
    Folders f;
    ipc::OpenArguments disk = image(f.all.make_file("images/disk", 4096));
    disk.format = "qcow2";
    const std::string data = f.all.make_file("images/data", 4096);
    const ipc::OpenFileArguments wanted{data, false, false};
    const auto refused = thrown([&] { f.files.open("5/51712", disk, wanted); });
    CHECK(refused.code() == std::errc::operation_not_permitted);
    CHECK_THAT(refused.what(), Catch::Contains("data-file=PATH"));
    disk.options["data-file"] = data;
    CHECK(f.files.open("5/51712", disk, wanted));
    const std::string outside = f.all.make_file("data", 4096);
    disk.options["data-file"] = outside;
    CHECK_THAT(thrown([&] {
                   f.files.open("5/51712", disk, {outside, false, false});
               }).what(),
               Catch::Contains("outside of image-directories"));
    disk.format = GENERATE("raw", "vhd", "unheard-of");  // which have none
    disk.options["data-file"] = data;
    CHECK(thrown([&] { f.files.open("5/51728", disk, wanted); }).code() == std::errc::operation_not_permitted);
}

TEST_CASE("image files: the successor of a killed tapdisk gets the same file, even if its path was replaced",
          "[unit][tapback]") {
    Folders f;
    const std::string path = f.all.make_file("images/disk", 4096);
    struct stat status {};
    open_image(f.files, "5/51712", path);
    REQUIRE(::rename(f.all.make_file("images/new", 8192).c_str(), path.c_str()) == 0);
    REQUIRE(::fstat(open_image(f.files, "5/51712", path).get(), &status) == 0);
    CHECK(status.st_size == 4096);
    CHECK(f.files.count("5/51712") == 1);
    f.files.release("5/51712");
    REQUIRE(::fstat(open_image(f.files, "5/51712", path).get(), &status) == 0);
    CHECK(status.st_size == 8192);
}

TEST_CASE("image files: a file is locked until it is released", "[unit][tapback]") {
    Folders f;
    const std::string path = f.all.make_file("images/disk", 4096);
    open_image(f.files, "5/51712", path);
    CHECK_FALSE(can_be_written_by_another(path));
    f.files.release("6/51712");
    CHECK_FALSE(can_be_written_by_another(path));
    f.files.release("5/51712");
    CHECK(can_be_written_by_another(path));
}

TEST_CASE("image files: two disks may read one file; a second writer is told which disk has it", "[unit][tapback]") {
    Folders f;
    const std::string path = f.all.make_file("images/disk", 4096);
    CHECK(open_image(f.files, "1/51712", path, Access::read_only));
    CHECK(open_image(f.files, "2/51712", path, Access::read_only));
    const auto error = refusal(f.files, path);
    CHECK(error.code() == std::errc::device_or_resource_busy);
    CHECK(std::string{error.what()} == path + ": in use by the disk 1/51712");
    CHECK(f.files.count("5/51712") == 0);
}

TEST_CASE("image files: what a tapdisk gives back is kept and locked as if it had been opened here", "[unit]") {
    const Folders folders;
    const std::string path = folders.all.make_file("images/a", 4096);
    std::optional<JudgedFiles> before{std::in_place, std::vector<std::string>{"/"}};
    UniqueFd at_tapdisk = open_image(*before, "5/51712", path);
    before.reset();
    JudgedFiles files{{"/"}};
    CHECK(thrown([&] {
              files.keep("5/51712", image("/other"), {path, false, false},
                         UniqueFd{::fcntl(at_tapdisk.get(), F_DUPFD_CLOEXEC, 0)});
          }).code() == std::errc::operation_not_permitted);
    CHECK(thrown([&] {
              files.keep("5/51712", image(path, Access::read_only), {path, false, false},
                         UniqueFd{::fcntl(at_tapdisk.get(), F_DUPFD_CLOEXEC, 0)});
          }).code() == std::errc::operation_not_permitted);
    CHECK(thrown([&] {
              files.keep("5/51712", image("/dev/null"), {"/dev/null", false, false},
                         UniqueFd{::open("/dev/null", O_RDWR | O_CLOEXEC)});
          }).code() == std::errc::invalid_argument);
    files.keep("5/51712", image(path), {path, false, false}, std::move(at_tapdisk));
    CHECK_FALSE(can_be_written_by_another(path));  // the tapdisk has none any more
    CHECK(files.count("5/51712") == 1);
    CHECK(thrown([&] { open_image(files, "6/51712", path); }).code() == std::errc::device_or_resource_busy);
    files.release("5/51712");
    CHECK(can_be_written_by_another(path));
}

TEST_CASE("image files: files change hands with their locks", "[unit]") {
    Folders folders;
    const std::string path = folders.all.make_file("images/a", 4096);
    struct stat before {};
    struct stat after {};
    REQUIRE(::fstat(open_image(folders.files, "before", path).get(), &before) == 0);
    const std::string also = folders.all.path("images/also");
    REQUIRE(::link(path.c_str(), also.c_str()) == 0);
    REQUIRE(::rename(folders.all.make_file("images/new", 4096).c_str(), path.c_str()) == 0);
    folders.files.hand_over("before", "5/51712");
    folders.files.hand_over("nobody", "6/51712");
    CHECK(folders.files.count("before") == 0);
    CHECK(folders.files.count("6/51712") == 0);
    folders.files.release("before");
    REQUIRE(::fstat(open_image(folders.files, "5/51712", path).get(), &after) == 0);
    CHECK(after.st_ino == before.st_ino);
    CHECK_FALSE(can_be_written_by_another(also));
}
