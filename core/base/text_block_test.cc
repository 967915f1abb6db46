#include "postern/text_block.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace postern {
namespace {

TextBlock one_by_one(const char* text) {
  TextBlock out{};
  for (std::size_t i = 0; i < TextBlock::kSize; ++i) {
    out.cr |= static_cast<std::uint64_t>(text[i] == '\r') << i;
    out.lf |= static_cast<std::uint64_t>(text[i] == '\n') << i;
    out.dot |= text[i] == '\n' && text[i + 1] == '.';
    out.nul |= text[i] == '\0';
    out.high |= (static_cast<unsigned char>(text[i]) & 0x80) != 0;
  }
  return out;
}

void check_same(const TextBlock& a, const TextBlock& b) {
  CHECK(a.cr == b.cr);
  CHECK(a.lf == b.lf);
  CHECK(a.dot == b.dot);
  CHECK(a.nul == b.nul);
  CHECK(a.high == b.high);
}

}  // namespace

TEST_CASE("blocks that are read together say what their octets say one by one") {
  constexpr std::string_view kOctets(
      "\r\n.\0\xff"
      "abc",
      8);
  std::uint64_t state = 1;
  for (int round = 0; round < 200; ++round) {
    std::string text(5 * TextBlock::kSize + 1, 'x');
    for (char& c : text) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const auto pick = state >> 58;
      if (round % 10 != 0 && pick < 8 && (round % 2 == 0 || pick < 3)) c = kOctets[pick];
    }
    std::vector<TextBlock> blocks(5);
    read_blocks(text.data(), blocks.size(), blocks.data());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      check_same(blocks[i], one_by_one(text.data() + i * TextBlock::kSize));
      check_same(TextBlock::at(text.data() + i * TextBlock::kSize), blocks[i]);
    }
  }
}

TEST_CASE("going over a text gives each of its blocks once") {
  const std::size_t size = 100 * TextBlock::kSize + 1;
  std::string text(size, 'x');
  for (std::size_t i = 0; i < 100; ++i) text[i * TextBlock::kSize + i % 60] = '\n';
  TextBlocks blocks;
  for (std::size_t i = 0; i < 100; ++i)
    check_same(blocks.next(text.data() + i * TextBlock::kSize, text.data() + size),
               one_by_one(text.data() + i * TextBlock::kSize));
}

}  // namespace postern
