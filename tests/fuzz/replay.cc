// SPDX-License-Identifier: BSD-2-Clause
// Runs a fuzzer's entry point over files and directories without libFuzzer: the corpus as a test, or a
// finding again.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);

namespace {

int inputs_run = 0;

bool run_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) {
    std::fprintf(stderr, "replay: cannot read %s\n", path.c_str());
    return false;
  }
  const std::vector<uint8_t> bytes(text.begin(), text.end());
  std::fprintf(stderr, "%s\n", path.c_str());  // first, so that a crash names its input
  // Every shorter input, too: truncation is the cheapest mutation.
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    LLVMFuzzerTestOneInput(cut.data(), cut.size());
  }
  ++inputs_run;
  return true;
}

bool run_path(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return run_file(path);
  bool all = true;
  for (const auto& entry : std::filesystem::directory_iterator(path)) all = run_file(entry.path()) && all;
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  bool all = true;
  for (int i = 1; i < argc; ++i) all = run_path(argv[i]) && all;
  std::fprintf(stderr, "replay: %d inputs\n", inputs_run);
  return all && inputs_run > 0 ? 0 : 1;
}
