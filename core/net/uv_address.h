// An Endpoint in the form that system calls take.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "postern/endpoint.h"

namespace postern {

class RawAddress {
 public:
  /// A path longer than sun_path is cut; bind() and Endpoint::parse refuse it before.
  explicit RawAddress(const Endpoint& endpoint) {
    if (endpoint.is_unix()) {
      sockaddr_un un{};
      un.sun_family = AF_UNIX;
      endpoint.path.copy(un.sun_path, sizeof un.sun_path - 1);
      store(un);
    } else if (endpoint.ip.is_v6()) {
      sockaddr_in6 in6{};
      in6.sin6_family = AF_INET6;
      in6.sin6_port = htons(endpoint.port);
      std::memcpy(&in6.sin6_addr, endpoint.ip.octets(), 16);
      store(in6);
    } else {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(endpoint.port);
      std::memcpy(&in.sin_addr, endpoint.ip.octets(), 4);
      store(in);
    }
  }

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }

 private:
  template <class Address>
  void store(const Address& address) {
    std::memcpy(&storage_, &address, sizeof address);
    size_ = sizeof address;
  }
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

}  // namespace postern
