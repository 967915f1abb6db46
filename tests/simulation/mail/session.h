// One connection to a host of the simulated Internet: the server's side of SMTP, with one Mischief.
//
// Owner: its Host, until the end of the seed. Thread: the simulation's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "internet.h"

namespace postern::simulation {

class Session final : private SocketEvents, private TimerNode {
 public:
  Session(Internet& internet, std::string host, std::unique_ptr<Socket> socket);
  ~Session();
  void cut();  ///< the other end is gone
  bool over() const { return socket_ == nullptr; }

 private:
  enum class In : std::uint8_t { kCommands, kText, kChunk };
  /// What the answer under way means when it has left.
  struct Answer {
    std::uint64_t end = 0;  ///< octets sent on the connection by then
    std::vector<Taken*> taken;
  };

  std::span<char> on_room(std::size_t) override { return room_; }
  void on_data(std::size_t octets) override;
  void on_end(int error) override;
  void on_written(int error) override;
  void fire() override;

  void work();
  bool take_command();
  bool take_text();
  bool take_chunk();
  void command(const std::string& line);
  void hello(bool extended);
  void mail(const std::string& line);
  void rcpt(const std::string& line);
  void bdat(const std::string& line);
  void text_ends();
  void reset_transaction();

  bool strikes(Step step) const;
  /// Says `good`, unless the mischief wants something else here. False: it did, and `good` was not said.
  bool answer(Step step, std::string good, std::vector<Taken*> taken = {});
  bool misbehave(const std::string& good, std::vector<Taken*>& taken);
  void say(std::string text, std::vector<Taken*> taken = {});
  void send_on();
  void die(bool reset);
  void trace(const char* mark, const std::string& line) const;

  Internet& internet_;
  std::string host_;
  std::unique_ptr<Socket> socket_;
  Mischief mischief_;
  bool pipelining_, chunking_, eight_bit_, dsn_, size_, smtputf8_, old_, limits_;
  std::size_t most_rcpts_ = ~std::size_t{0};

  std::string in_, out_;
  std::uint64_t received_ = 0, said_ = 0, written_ = 0;
  std::size_t writing_ = 0;  ///< octets that the socket has in hand
  std::vector<Answer> answers_;
  std::string late_;
  std::vector<Taken*> late_taken_;
  bool waits_ = false;  ///< for a late answer; nothing is read meanwhile
  bool silent_ = false;
  bool closing_ = false;  ///< after what was said
  bool reset_at_end_ = false;

  In state_ = In::kCommands;
  unsigned transactions_ = 0;
  bool mail_open_ = false;
  std::string from_, text_;
  std::vector<std::string> to_;
  std::uint64_t chunk_ = 0;
  bool last_ = false;
  char room_[2048];
};

}  // namespace postern::simulation
