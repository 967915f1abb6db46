// Two filters held face to face, and folders for their files. No part of the server.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "postern/stream.h"
#include "postern/tls.h"

namespace postern::test {

struct Folder {
  std::filesystem::path path;
  Folder() {
    char name[] = "/tmp/postern-tls-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

inline TlsCertificate certificate(const Folder& folder, const std::string& name) {
  auto made = make_self_signed({name}, 30);
  REQUIRE(made);
  return {folder.write(name + ".crt", made->certificate), folder.write(name + ".key", made->key), {}};
}

/// Passes octets between the two until both are established or one fails; true when both are.
inline bool shake(StreamFilter& client, StreamFilter& server) {
  std::string to_server, to_client, plain;
  client.begin(to_server);
  for (int turn = 0; turn < 10; ++turn) {
    std::string out = std::exchange(to_server, {});
    if (!out.empty() && server.received(out, plain, to_client) != StreamFilter::State::kOk) return false;
    out = std::exchange(to_client, {});
    if (!out.empty() && client.received(out, plain, to_server) != StreamFilter::State::kOk) return false;
  }
  return client.established() && server.established();
}

}  // namespace postern::test
