#include "postern/services.h"

#include <cstdio>
#include <cstdlib>

namespace postern {

namespace {

[[noreturn]] void die(const char* what, const std::string& key) {
  std::fprintf(stderr, "postern: service \"%s\" %s\n", key.c_str(), what);
  std::abort();
}

}  // namespace

void Services::put(std::string key, void* service) {
  if (frozen_) die("was provided after the start", key);
  if (!by_key_.emplace(key, service).second) die("is provided twice", key);
}

void* Services::get(const std::string& key) const {
  auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : it->second;
}

void* Services::must(const std::string& key) const {
  void* service = get(key);
  if (!service) die("is provided by no module", key);
  return service;
}

std::vector<std::string> Services::names() const {
  std::vector<std::string> names;
  for (const auto& [key, service] : by_key_) names.push_back(key);
  return names;
}

}  // namespace postern
