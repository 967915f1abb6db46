// c-ares moves packets: choice of server, retries, TCP after truncation. One channel per worker.
//
// It is driven without threads and without its own reading of answers: ARES_OPT_SOCK_STATE_CB tells which descriptors
// to watch, a timer stands for its timeouts, and questions go out as packets that core/dns/message.cc built, since
// ares_create_query can neither set the AD bit nor send every octet that a name may have.
//
// Owner:  CachingResolver. Thread: its worker. Destruction ends all questions with a failure, inside the destructor.
// Errors: Fault "dns.server" and "dns.init" from open(); everything later is a DnsAnswer.
#pragma once

#include <ares.h>

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/dns/wire.h"
#include "postern/executor.h"

namespace postern::dns {

class CaresWire final : public Wire, private TimerNode {
 public:
  static Result<std::unique_ptr<CaresWire>> open(Executor& executor, const DnsSettings& settings);
  ~CaresWire() override;

  void send(const std::string& name, RecordType type, std::function<void(DnsAnswer)> done) override;

 private:
  struct Question;  // one on its way, owned by c-ares through the argument of its callback

  CaresWire(Executor& executor, bool trust_ad) : executor_(executor), trust_ad_(trust_ad) {}
  Result<void> start(const DnsSettings& settings, const std::vector<Endpoint>& servers);
  void transmit(std::unique_ptr<Question> question);
  std::uint16_t fresh_id();
  FdWatch* watch(ares_socket_t fd);
  void on_sockets(ares_socket_t fd, bool readable, bool writable);
  void process(ares_socket_t readable, ares_socket_t writable);
  void fire() override;
  void rearm();
  static void on_answer(void* question, int status, int timeouts, unsigned char* packet, int size);

  Executor& executor_;
  bool trust_ad_;
  bool closing_ = false;
  ares_channel channel_ = nullptr;
  std::unordered_map<ares_socket_t, std::unique_ptr<FdWatch>> watches_;
  std::array<std::uint16_t, 64> ids_{};  // unpredictable, used from the back
  std::size_t ids_left_ = 0;
};

}  // namespace postern::dns
