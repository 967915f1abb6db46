// Services by type: what one module provides and others are handed. main builds one registry, the loader freezes it
// before start, and nothing is looked up after that.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

class Services {
 public:
  /// Registers a service under T::kService (and a name, when there are several). The object must outlive the registry's
  /// users; a second one under the same name aborts (the loader has refused that before).
  template <class T>
  void provide(T& service, std::string_view name = {}) {
    put(key(T::kService, name), &service);
  }
  /// The service; nothing when nobody provides it.
  template <class T>
  T* find(std::string_view name = {}) const {
    return static_cast<T*>(get(key(T::kService, name)));
  }
  /// The service, for modules that named it in `requires`; aborts with its name when it is missing.
  template <class T>
  T& need(std::string_view name = {}) const {
    return *static_cast<T*>(must(key(T::kService, name)));
  }
  void freeze() { frozen_ = true; }
  std::vector<std::string> names() const;

 private:
  static std::string key(std::string_view service, std::string_view name) {
    return name.empty() ? std::string(service) : std::string(service) + ":" + std::string(name);
  }
  void put(std::string key, void* service);
  void* get(const std::string& key) const;
  void* must(const std::string& key) const;
  std::map<std::string, void*> by_key_;
  bool frozen_ = false;
};

}  // namespace postern
