#include "postern/text.h"

#include <doctest/doctest.h>

#include <unordered_map>

#include "postern/crc32c.h"
#include "postern/error.h"
#include "postern/hash.h"
#include "postern/random.h"

using namespace postern;

TEST_CASE("text is compared without the case of its ASCII letters only") {
  CHECK(equal_folded("MAIL From", "mail fROM"));
  CHECK(!equal_folded("mail", "mail "));
  CHECK(!equal_folded("\xc3\x84", "\xc3\xa4"));
  CHECK(!equal_folded("[", "{"));  // 32 apart, as letters are, but no letters
  CHECK(compare_folded("abc", "ABD") < 0);
  CHECK(compare_folded("ab", "ABC") < 0);
  CHECK(compare_folded("B", "a") > 0);
  CHECK(starts_with_folded("BODY=8BIT", "body="));
  CHECK(!starts_with_folded("BO", "body="));
  CHECK(ends_with_folded("mail.Example.ORG", ".example.org"));
  std::unordered_map<std::string, int, FoldedHash, FoldedEqual> map;
  map["Example.org"] = 1;
  CHECK(map.contains(std::string_view("eXAMPLE.ORG")));
}

TEST_CASE("text is trimmed and split without losing pieces") {
  CHECK(trim(" \t a b\r\n") == "a b");
  CHECK(trim(" \r\n") == "");
  CHECK(split("a,,b,", ',') == std::vector<std::string_view>{"a", "", "b", ""});
  CHECK(split("", ',') == std::vector<std::string_view>{""});
  CHECK(split_words("  a \t bc ") == std::vector<std::string_view>{"a", "bc"});
  CHECK(split_words(" ").empty());
  std::string_view text = "key=value=more";
  CHECK(take_until(text, '=') == "key");
  CHECK(take_until(text, ';') == "value=more");
  CHECK(text.empty());
}

TEST_CASE("numbers are read within bounds and in one form") {
  CHECK(to_number<int>("-12") == -12);
  CHECK(to_number<unsigned>("65535", 0, 65535) == 65535);
  CHECK(!to_number<unsigned>("65536", 0, 65535));
  CHECK(!to_number<std::uint8_t>("256"));
  for (const char* bad : {"", "+1", " 1", "1 ", "0x10", "1.0", "-"}) CHECK_MESSAGE(!to_number<int>(bad), bad);
  CHECK(!to_number<unsigned>("-1"));
}

TEST_CASE("base64 follows RFC 4648 and refuses every other form") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    CHECK(base64_encode(plain) == coded);
    CHECK(base64_decode(coded) == std::string(plain));
  }
  for (const char* bad : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9v", "Zm9v\n", "====", "=", "Z===", "Zm9-"})
    CHECK_MESSAGE(!base64_decode(bad), bad);
  Prng random(7);
  for (std::size_t size = 0; size < 100; ++size) {
    std::string octets(size, '\0');
    for (char& c : octets) c = static_cast<char>(random.next());
    CHECK(base64_decode(base64_encode(octets)) == octets);
    CHECK(hex_decode(hex_encode(octets)) == octets);
  }
  CHECK(hex_decode("0AfF") == std::string("\x0a\xff"));
  CHECK(!hex_decode("abc"));
  CHECK(!hex_decode("0g"));
}

TEST_CASE("CRC-32C gives the vectors of RFC 3720 on both ways") {
  std::string ascending(32, '\0');
  for (int i = 0; i < 32; ++i) ascending[static_cast<std::size_t>(i)] = static_cast<char>(i);
  for (const auto sum : {static_cast<std::uint32_t (*)(std::uint32_t, std::string_view)>(crc32c), crc32c_portable}) {
    CHECK(sum(0, "") == 0);
    CHECK(sum(0, "123456789") == 0xe3069283);
    CHECK(sum(0, std::string(32, '\0')) == 0x8a9136aa);
    CHECK(sum(0, std::string(32, '\xff')) == 0x62a8ab43);
    CHECK(sum(0, ascending) == 0x46dd794e);
  }
}

TEST_CASE("CRC-32C of parts is that of the whole, wherever it is cut") {
  Prng random(3);
  std::string octets(3701, '\0');  // more than the lanes that are summed side by side
  for (char& c : octets) c = static_cast<char>(random.next());
  const std::uint32_t whole = crc32c_portable(0, octets);
  CHECK(crc32c(0, octets) == whole);
  for (std::size_t cut = 0; cut <= octets.size(); cut += cut < 301 ? 1 : 17) {
    const std::string_view view(octets);
    CHECK(crc32c(crc32c(0, view.substr(0, cut)), view.substr(cut)) == whole);
  }
}

TEST_CASE("a hash depends on every octet, the length and the seed") {
  CHECK(hash_bytes("a") != hash_bytes("b"));
  CHECK(hash_bytes("") != hash_bytes(std::string_view("\0", 1)));
  CHECK(hash_bytes(std::string_view("\0", 1)) != hash_bytes(std::string_view("\0\0", 2)));
  CHECK(hash_bytes("key", 1) != hash_bytes("key", 2));
  for (std::size_t size = 1; size < 70; ++size) {
    const std::string base(size, 'x');
    for (std::size_t i = 0; i < size; ++i) {
      std::string other = base;
      other[i] = 'y';
      CHECK(hash_bytes(other) != hash_bytes(base));
    }
    CHECK(hash_text_folded(std::string(size, 'X')) == hash_bytes(base));
  }
}

TEST_CASE("a hash spreads like keys evenly over few places") {
  int counts[8] = {};
  for (int i = 0; i < 8000; ++i) ++counts[hash_bytes("192.0.2." + std::to_string(i)) % 8];
  for (const int count : counts) CHECK((count > 800 && count < 1200));
}

TEST_CASE("random names have their alphabet and do not repeat") {
  const std::string name = random_base32(26);
  CHECK(name.size() == 26);
  CHECK(name.find_first_not_of("0123456789abcdefghjkmnpqrstvwxyz") == std::string::npos);
  CHECK(random_base62(40).size() == 40);
  CHECK(random_base62(22) != random_base62(22));
}

TEST_CASE("a seeded stream repeats and stays in its bounds") {
  Prng a(42);
  Prng b(42);
  Prng c(43);
  CHECK(a.next() == b.next());
  CHECK(a.next() != c.next());
  bool seen[5] = {};
  for (int i = 0; i < 200; ++i) seen[a.below(5)] = true;
  for (const bool each : seen) CHECK(each);
  CHECK(a.below(0) == 0);
  for (int i = 0; i < 200; ++i) {
    const double unit = a.unit();
    CHECK((unit >= 0 && unit < 1));
  }
}

TEST_CASE("an error is caught by its own type and by the root") {
  CHECK_THROWS_AS(throw TimedOut(), TimedOut);
  CHECK_THROWS_AS(throw Closed(), Error);
  CHECK(std::string(Overloaded("full").what()) == "full");
  CHECK(!Result<int>(fault("spool.full", "no room")));
}
