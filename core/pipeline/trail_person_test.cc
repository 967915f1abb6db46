#include <doctest/doctest.h>

#include "core/pipeline/trail_person.h"

namespace postern {
namespace {

std::string without_ann(std::string text) {
  static_cast<void>(Person("Ann@Far.example").redact(text));
  return text;
}

TEST_CASE("a person is found in any case, by himself, and in the local parts of forwarders and lists") {
  const Person ann("ann@far.example");
  CHECK(ann.is("ANN@far.EXAMPLE"));
  for (const char* text :
       {"ann@far.example", "<Ann@Far.Example>", "to ann@far.example.", "ann@far.example, bob@x",
        "SRS0=hh=tt=far.example=ann@ours.example", "list+ann=far.example@lists.example", "(ann@far.example)"})
    CHECK_MESSAGE(ann.in(text), text);
  for (const char* text :
       {"joann@far.example", "ann@far.example.org", "ann@far.examples", "x.ann@far.example", "ann", "",
        "ann@far-example", "joann=far.example@lists.example", "SRS0=hh=tt=far.example=anna@ours.example"})
    CHECK_MESSAGE(!ann.in(text), text);
}

TEST_CASE("redaction leaves everything else as it was") {
  CHECK(without_ann("<ann@far.example> to <joann@far.example>, ANN@FAR.EXAMPLE") ==
        "<erased@erased.invalid> to <joann@far.example>, erased@erased.invalid");
  CHECK(without_ann("SRS0=hh=tt=far.example=ann@ours.example") == "SRS0=hh=tt=erased.invalid=erased@ours.example");
  CHECK(without_ann("list+ann=far.example@lists.example") == "list+erased=erased.invalid@lists.example");
  CHECK(without_ann("nobody here") == "nobody here");
  std::string two = "ann@far.example ann@far.example";
  CHECK(Person("ann@far.example").redact(two) == 2);
  CHECK_FALSE(Person("ann@far.example").in(two));
}

}  // namespace
}  // namespace postern
