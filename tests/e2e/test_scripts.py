"""A script that loops, eats memory or fails harms the mail it was asked about, and no other."""
import threading
import time
import unittest

from postern import PATIENCE, SANITIZED, SCRIPT, Server, letter, main

HOSTILE = SCRIPT.replace('postern.pipeline "root" {', '''
local function subject_has(word)
  return function(mail) return mail:header("Subject") == word end
end
local function loops(mail)
  if mail:header("Subject") ~= "loop" then return false end
  while true do end
end
local function loops_behind_pcall(mail)
  if mail:header("Subject") ~= "stubborn" then return false end
  while true do pcall(function() while true do end end) end
end
local function eats(mail)
  if mail:header("Subject") ~= "eat" then return false end
  local all = {}
  for i = 1, 1e9 do all[i] = string.rep("x", 100000) .. i end
end
local function doubles(mail)
  if mail:header("Subject") ~= "double" then return false end
  local s = "x"
  while true do s = s .. s end
end
local function backtracks(mail)
  if mail:header("Subject") ~= "pattern" then return false end
  return string.find(string.rep("a", 200000), string.rep("a?", 200) .. string.rep("a", 200) .. "b") ~= nil
end
local function recurses(mail)
  if mail:header("Subject") ~= "recurse" then return false end
  local function f() return 1 + f() end
  return f() == 0
end
local function fails(mail)
  if mail:header("Subject") ~= "fail" then return false end
  error("on purpose")
end
postern.pipeline "root" {
  { when = loops, act.discard "never" },
  { when = loops_behind_pcall, act.discard "never" },
  { when = eats, act.discard "never" },
  { when = doubles, act.discard "never" },
  { when = backtracks, act.discard "never" },
  { when = recurses, act.discard "never" },
  { when = fails, act.discard "never" },''')
WICKED = ["loop", "stubborn", "eat", "double", "pattern", "recurse", "fail"]


class Scripts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(script=HOSTILE, listeners=["mx", "pop3s"]))

    def send(self, subject, *codes):
        text = letter(subject)
        with self.server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").data(text, *codes)
        return text

    def test_each_wicked_script_defers_its_own_mail(self):
        for subject in WICKED:
            with self.subTest(subject):
                began = time.monotonic()
                self.send(subject, 451)
                self.assertLess(time.monotonic() - began, 30 if SANITIZED else 10)
        self.server.wait_log("on purpose")
        log = self.server.log()
        for number, line in enumerate(HOSTILE.splitlines(), 1):
            if "{ when = " in line and "never" in line:
                self.assertIn(f"mail.lua:{number}", log, "the rule that failed is named with its place")

    def test_mail_of_others_passes_meanwhile(self):
        stop = threading.Event()
        wrong = []

        def torment():
            while not stop.is_set():
                for subject in ("loop", "eat", "stubborn"):
                    try:
                        self.send(subject, 451)
                    except Exception as e:  # noqa: BLE001 - told by the main thread
                        wrong.append(e)
                        return

        tormentor = threading.Thread(target=torment)
        tormentor.start()
        try:
            before = len(self.server.fetch("bob"))
            began = time.monotonic()
            for _ in range(20):
                self.send("harmless", 250)
            self.assertLess(time.monotonic() - began, 4 * PATIENCE)
        finally:
            stop.set()
            tormentor.join()
        self.assertEqual(wrong, [])
        self.server.mail("bob", before + 20)

    def test_memory_is_given_back(self):
        if SANITIZED:
            self.skipTest("sanitizers keep freed memory")
        self.send("eat", 451)
        before = self.server.memory("VmRSS")
        for _ in range(10):
            self.send("eat", 451)
            self.send("double", 451)
        self.assertLess(self.server.memory("VmRSS") - before, 48 << 20)


class Hooks(unittest.TestCase):
    def test_hooks_answer_while_the_client_waits(self):
        script = '''
local postern = require "postern"
postern.on("ehlo", function(session)
  if session.ehlo == "forbidden.test" then return postern.reject(550, "5.7.1", "not you") end
end)
postern.on("rcpt", { role = "mx" }, function(session, rcpt)
  if rcpt.address == "bob@example.test" then return postern.defer(450, "4.2.1", "bob sleeps") end
end)
''' + SCRIPT.replace('local postern = require "postern"\n', "")
        with Server(script=script, listeners=["mx", "pop3s"]) as server:
            with server.smtp("mx") as talk:
                talk.expect(220).say("EHLO forbidden.test").expect(550, "not you")
            with server.smtp("mx") as talk:
                talk.ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
                talk.say("RCPT TO:<bob@example.test>").expect(450, "bob sleeps")
                talk.say("RCPT TO:<alice@example.test>").expect(250)
                talk.data(letter(to="alice@example.test"))
            server.mail("alice")

    def test_recipients_that_a_rule_selects_part_from_the_others(self):
        script = SCRIPT.replace('postern.pipeline "local" {', '''
local function tagged(mail)
  return mail:recipients_where(function(r) return r.tag == "archive" end)
end
postern.pipeline "local" {
  { when = tagged, act.deliver { folder = "Archive" } },''')
        with Server(script=script, listeners=["mx", "pop3s"], extra='') as server:
            with server.smtp("mx") as talk:
                talk.ehlo().mail("a@foreign.test", "alice+archive@example.test", "bob@example.test").data(letter())
            server.mail("bob")
            server.wait_queue_empty()
            self.assertEqual(len(server.files("alice", "Archive")), 1)
            self.assertEqual(server.fetch("alice"), [])

    def test_without_a_script_local_mail_goes_to_the_inbox(self):
        with Server(script=None) as server:
            text = server.submit("alice", "bob")
            self.assertTrue(server.mail("bob")[0].endswith(text))


if __name__ == "__main__":
    main()
