// Hands every seed of a corpus to a fuzz target once: what a fuzz target has learnt is a test in every build.
//
//   fuzz_NAME FOLDER|FILE...
//
// Each argument is a file, or a folder of files, taken in the order of their names. The name of a file is printed
// before it is handed over only when POSTERN_FUZZ_VERBOSE is set; a crash is named by the handler below either way.
// Exit status: 0, 2 for an argument that cannot be read or when there was no seed; a target that finds something wrong
// aborts.
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// What the signal handler can reach; main outlives every use.
const char* current_seed = "";

void name_the_seed(int signal) {
  constexpr char kText[] = "died at seed ";
  static_cast<void>(!::write(STDERR_FILENO, kText, sizeof kText - 1));
  static_cast<void>(!::write(STDERR_FILENO, current_seed, std::strlen(current_seed)));
  static_cast<void>(!::write(STDERR_FILENO, "\n", 1));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& argument) {
  if (!std::filesystem::is_directory(argument)) return {argument};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argument))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

bool replay(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "%s: cannot be read\n", file.c_str());
    return false;
  }
  // Exactly as large as the seed, on the heap: reading past its end is seen by a sanitizer.
  const std::vector<std::uint8_t> octets{std::istreambuf_iterator<char>(in), {}};
  current_seed = file.c_str();
  if (std::getenv("POSTERN_FUZZ_VERBOSE")) std::fprintf(stderr, "%s\n", current_seed);
  LLVMFuzzerTestOneInput(octets.data(), octets.size());
  current_seed = "";
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER|FILE...\n", argv[0]);
    return 2;
  }
  std::signal(SIGABRT, name_the_seed);
  std::size_t replayed = 0;
  bool readable = true;
  for (int i = 1; i < argc; ++i) {
    std::error_code gone;
    if (!std::filesystem::exists(argv[i], gone)) {
      std::fprintf(stderr, "%s: no such corpus\n", argv[i]);
      continue;
    }
    for (const auto& file : files_of(argv[i])) {
      readable = replay(file) && readable;
      ++replayed;
    }
  }
  std::fprintf(stderr, "%zu seeds replayed\n", replayed);
  return readable && replayed != 0 ? 0 : 2;  // a test of no seeds would be one that cannot fail
}
