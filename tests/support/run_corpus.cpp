// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A main() for a fuzz target without libFuzzer: feeds it every file that the arguments name, or that lies in a folder
// that they name. So the corpus is a plain test with any compiler. Fails if there is no input at all.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::filesystem::path> inputs_of(const std::filesystem::path& argument) {
    if (!std::filesystem::is_directory(argument)) return {argument};
    std::vector<std::filesystem::path> inputs;
    for (const auto& entry : std::filesystem::directory_iterator(argument))
        inputs.push_back(entry.path());
    std::sort(inputs.begin(), inputs.end());
    return inputs;
}

bool run(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
        std::cerr << path << ": cannot be read\n";
        return false;
    }
    // Printed before the run: if an input ends the process, it is the last one named.
    std::cerr << path.string() << ": " << bytes.size() << " bytes" << std::endl;
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    std::size_t count = 0;
    for (int i = 1; i < argc; ++i) {
        for (const auto& path : inputs_of(argv[i])) {
            if (!run(path)) return 1;
            ++count;
        }
    }
    if (count == 0) {
        std::cerr << "no inputs in";
        for (int i = 1; i < argc; ++i)
            std::cerr << ' ' << argv[i];
        std::cerr << '\n';
        return 1;
    }
    std::cerr << count << " inputs survived\n";
}
