#include "report_class.h"

#include <doctest/doctest.h>

#include <string>

using namespace postern;
using namespace postern::queue;

namespace {
std::string word(int code, std::string enhanced, std::string text) {
  return std::string(info_of(classify({code, std::move(enhanced), std::move(text)})).word);
}
}  // namespace

TEST_CASE("a code that means one thing wins over the words") {
  CHECK(word(550, "5.1.1", "blocked as spam? no: user gone") == "unknown-user");
  CHECK(word(552, "5.2.2", "the message is too large for what is left") == "mailbox-full");
  CHECK(word(556, "5.1.10", "") == "no-mail");
  CHECK(word(550, "5.7.26", "This mail has been blocked") == "authentication");
  CHECK(word(450, "4.4.6", "") == "loop");
}

TEST_CASE("a code that means anything leaves it to the words") {
  CHECK(word(550, "5.7.1", "Message refused as SPAM") == "spam");
  CHECK(word(554, "5.7.1", "Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org") == "reputation");
  CHECK(word(550, "5.7.1", "Relaying denied") == "policy");
  CHECK(word(450, "4.7.1", "Greylisted, come back in 300 seconds") == "greylisted");
  CHECK(word(550, "", "No such user here") == "unknown-user");
  CHECK(word(550, "5.2.1", "The account is over quota") == "mailbox-full");
  CHECK(word(452, "", "mailbox full") == "mailbox-full");
  CHECK(word(554, "5.0.0", "Too many hops: 26") == "loop");
  CHECK(word(452, "4.5.3", "Too many recipients") == "rate-limited");
}

TEST_CASE("without words, the code's subject or the reply's number is all there is") {
  CHECK(word(550, "5.7.1", "no") == "policy");
  CHECK(word(550, "5.7.99", "no") == "policy");
  CHECK(word(451, "4.3.0", "") == "server-fault");
  CHECK(word(552, "", "") == "too-large");
  CHECK(word(550, "", "no") == "other");
  CHECK(word(550, "5.99.1", "no") == "other");
  CHECK(word(550, "banana", "no") == "other");
}

TEST_CASE("only what says that the address is dead is a hard bounce") {
  CHECK(is_hard_bounce({550, "5.1.1", "gone"}));
  CHECK(is_hard_bounce({550, "", "user unknown"}));
  CHECK_FALSE(is_hard_bounce({450, "4.1.1", "user unknown just now"}));
  CHECK_FALSE(is_hard_bounce({550, "5.7.1", "policy"}));
  CHECK_FALSE(is_hard_bounce({550, "5.2.2", "full"}));
  CHECK_FALSE(is_hard_bounce({554, "5.7.1", "blocked using a list"}));
  CHECK_FALSE(is_hard_bounce({550, "", "Domain of sender address does not exist"}));
  CHECK_FALSE(is_hard_bounce({550, "5.7.1", "user unknown"}));
  CHECK_FALSE(is_hard_bounce({250, "2.1.5", "fine"}));
}

TEST_CASE("each class can be read out to a person") {
  for (int i = 0; i <= static_cast<int>(RefusalClass::kOther); ++i) {
    const RefusalInfo& info = info_of(static_cast<RefusalClass>(i));
    CHECK(static_cast<int>(info.kind) == i);
    CHECK(info.title.ends_with('.'));
    CHECK(info.advice.ends_with('.'));
    CHECK_FALSE(info.word.empty());
  }
}

TEST_CASE("a reply without an enhanced code gets that of its class") {
  CHECK(status_of({550, "5.2.2", ""}) == "5.2.2");
  CHECK(status_of({550, "", ""}) == "5.0.0");
  CHECK(status_of({451, "x.y", ""}) == "4.0.0");
  CHECK(status_of({250, "", ""}) == "2.0.0");
}
