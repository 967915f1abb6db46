#include <doctest/doctest.h>

#include "core/pipeline/effect_texts.h"
#include "core/pipeline/trail_secrets.h"

namespace postern {
namespace {

TEST_CASE("keys in the address of a service do not get into a trail, and all else does") {
  CHECK(url_without_secrets("https://a.example/x?api_key=abc&q=mail&token=d%20e#f") ==
        "https://a.example/x?api_key=<secret>&q=mail&token=<secret>#f");
  CHECK(url_without_secrets("https://user:pa55@a.example/?keyword=k&X-Amz-Signature=ff") ==
        "https://user:<secret>@a.example/?keyword=k&X-Amz-Signature=<secret>");
  CHECK(url_without_secrets("https://a.example:443/@x?key") == "https://a.example:443/@x?key");
  CHECK(url_without_secrets("https://s3cret@a.example/x") == "https://<secret>@a.example/x");
  CHECK(url_without_secrets("") == "");
}

TEST_CASE("a question over HTTP and its answer are written without what opens something") {
  HttpRequest request;
  request.method = "GET";
  request.url = "https://a.example/?access_token=s3cret&user=ann";
  CHECK(http_question(request) == "GET https://a.example/?access_token=<secret>&user=ann");
  HttpResponse response;
  response.status = 200;
  response.url = "https://a.example/next?sig=s3cret";
  response.headers = {{"Set-Cookie", "id=s3cret"}, {"Date", "now"}, {"Location", "/a?token=s3cret"}};
  response.body = "x";
  const std::string text = http_text(response, request.url);
  CHECK(text.find("s3cret") == std::string::npos);
  CHECK(text.find("Date: now") != std::string::npos);
  const auto back = parse_http(text, request.url);
  REQUIRE(back);
  CHECK(back->headers.at(0).value == kSecretText);
  CHECK(back->body == "x");
}

}  // namespace
}  // namespace postern
