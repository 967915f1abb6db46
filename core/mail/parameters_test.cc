#include <doctest/doctest.h>

#include "postern/message.h"

using namespace postern;

namespace {

std::string parameter(std::string_view value, std::string_view name) {
  const ParameterizedValue parsed = parse_parameters(value);
  const std::string* found = parsed.find(name);
  return found == nullptr ? "(none)" : *found;
}

}  // namespace

TEST_CASE("values and parameters are taken apart") {
  const ParameterizedValue v = parse_parameters(" Text/Plain (a comment; x=y) ; Charset=\"UTF-8\"; Format = flowed ;");
  CHECK(v.value == "text/plain");
  REQUIRE(v.parameters.size() == 2);
  CHECK(v.parameters[0].name == "charset");
  CHECK(v.parameters[0].value == "UTF-8");
  CHECK(*v.find("format") == "flowed");
  CHECK(v.find("none") == nullptr);
}

TEST_CASE("quoted values keep semicolons and quotes") {
  CHECK(parameter("a/b; x=\"a;b\\\"c\"; y=z", "x") == "a;b\"c");
  CHECK(parameter("a/b; x=\"a;b\\\"c\"; y=z", "y") == "z");
  CHECK(parameter("a/b; x=\"open", "x") == "open");
  CHECK(parameter("a/b; filename=\"C:\\dir\\file.txt\"", "filename") == "C:\\dir\\file.txt");
  CHECK(parameter("attachment; filename=my file.txt; size=1", "filename") == "my file.txt");
}

TEST_CASE("continuations and charsets of RFC 2231") {
  CHECK(parameter("m/x; url*0=\"ftp://\"; url*1=\"cs.utk.edu/pub\"", "url") == "ftp://cs.utk.edu/pub");
  CHECK(parameter("a/x; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "title") == "This is ***fun***");
  CHECK(parameter("a/x; t*0*=us-ascii'en'This%20is; t*1*=%20even; t*2=\" isn't it!\"", "t") ==
        "This is even isn't it!");
  CHECK(parameter("a/x; t*1=b; t*0=a", "t") == "ab");
  CHECK(parameter("a/x; t*0=a; t*2=c", "t") == "a");
  CHECK(parameter("a/x; t*1=b", "t") == "(none)");
  CHECK(parameter("a/x; f*=utf-8''%C3%B6; f=o", "f") == "\xc3\xb6");
  CHECK(parameter("a/x; f*=iso-8859-1''%F6", "f") == "\xc3\xb6");
  CHECK(parameter("a/x; f*=''%F6", "f") == "\xc3\xb6");
  CHECK(parameter("a/x; f*=plain%zz", "f") == "plain%zz");
  CHECK(parameter("a/x; f*x=1; f*0x=2", "f") == "(none)");
  CHECK(parameter("a/x; f*0*=utf-8''%C3; f*1*=%B6", "f") == "\xc3\xb6");
}

TEST_CASE("of a name that is given twice the first counts by the rules, and the others are kept behind it") {
  const auto values = [](std::string_view field) {
    std::string out;
    for (const Parameter& one : parse_parameters(field).parameters) out += one.name + "=" + one.value + " ";
    return out;
  };
  CHECK(values("attachment; filename=run.exe; filename*=utf-8''a.txt") == "filename=a.txt filename=run.exe ");
  CHECK(values("attachment; filename*0=a; filename*1=.txt; filename=run.exe") == "filename=a.txt filename=run.exe ");
  CHECK(values("attachment; filename=a.txt; filename=run.exe; x=1") == "filename=a.txt x=1 filename=run.exe ");
  CHECK(values("attachment; filename=a.txt; filename*=utf-8''a.txt; filename=a.txt") == "filename=a.txt ");
  std::string many = "attachment";
  for (int i = 0; i < 200; ++i) many += "; filename=f" + std::to_string(i);
  CHECK(parse_parameters(many).parameters.size() == kMaxParameters);
  CHECK(parameter(many, "filename") == "f0");
  CHECK(parameter(many + "; size=7", "size") == "7");  // nothing is pushed out by what is repeated
}

TEST_CASE("parameters are bounded") {
  std::string many = "a/b";
  for (int i = 0; i < 5000; ++i) many += "; p" + std::to_string(i) + "=v";
  CHECK(parse_parameters(many).parameters.size() == kMaxParameters);
  std::string segments = "a/b";
  for (int i = 0; i < 5000; ++i) segments += "; p*" + std::to_string(i) + "=v";
  CHECK(parameter(segments, "p").size() <= 512);
  CHECK(parse_parameters(std::string(100'000, '(')).value.empty());
  CHECK(parse_parameters(std::string(100'000, ';')).parameters.empty());
}
