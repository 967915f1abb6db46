"""A configuration that is wrong is refused before anything starts, and each fault is named with its place."""
import json
import os
import re
import subprocess
import unittest

from postern import POSTERN, SCRIPT, Server, main


class Broken(unittest.TestCase):
    def setUp(self):
        self.server = Server(listeners=["mx"])

    def refused(self, text, *wanted):
        """Both `check` and `run` refuse, with status 1, and say each of `wanted`: (line text, message part...)."""
        self.server.config_file.write_text(text)
        lines = text.splitlines()
        for command in ("check", "run"):
            done = self.server.run(command, check=False)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertNotIn("postern: ready", done.stderr)
            for line, *parts in wanted:
                number = len(lines) - lines[::-1].index(line)  # the last such line
                place = rf"{re.escape(str(self.server.config_file))}:{number}:\d+"
                self.assertRegex(done.stderr, place, f"no message for line {number}: {line}")
                for part in parts:
                    self.assertIn(part, done.stderr)
        self.assertFalse((self.server.state / "spool").exists(), "a refused configuration touched the state folder")
        return done.stderr

    def test_all_faults_at_once_each_with_its_place(self):
        text = self.server.toml() + "\n".join([
            "[smtp]", "max_recipient = 5", 'max_message_size = "a lot"', "max_errors = 0",
            "[pop3]", 'idle_timeout = "5s"', "[srever]", "x = 1", ""])
        said = self.refused(
            text, ("max_recipient = 5", "max_recipients"), ('max_message_size = "a lot"',), ("max_errors = 0",),
            ('idle_timeout = "5s"',), ("[srever]", "server"))
        self.assertRegex(said, r"(?m)^\S*postern\.toml: 5 errors$")
        self.assertIn("^", said)  # a caret below the place

    def test_a_syntax_error_stands_alone(self):
        self.refused(self.server.toml() + "[smtp\n", ("[smtp",))

    def test_the_message_word_for_word(self):
        """Golden: what an administrator reads. A change of the manner shows up here."""
        text = self.server.toml() + "[limits]\nmemry = 1\n"
        said = self.refused(text, ("memry = 1",))
        number = text.splitlines().index("memry = 1") + 1
        said = said.replace(str(self.server.home), "HOME")
        self.assertRegex(said, rf"HOME/postern\.toml:{number}:1: error: .*memry")
        self.assertIn("memry = 1\n", said)
        self.assertIn("memory", said)

    def test_values_out_of_bounds_and_of_the_wrong_type(self):
        base = self.server.toml()
        for line in ('workers = "two"', "workers = 9999", 'drain = "1 fortnight"', 'hostname = "under_score"'):
            key = line.split(" ")[0]
            text = "\n".join(x for x in base.splitlines() if not x.startswith(key + " =")) + "\n"
            self.refused(text.replace("[server]\n", "[server]\n" + line + "\n"), (line, key))

    def test_listeners_that_contradict_themselves(self):
        listener = '[[smtp.listener]]\nname = "{}"\naddress = "127.0.0.1:{}"\nrole = "{}"\n{}\n'
        self.refused(self.server.toml() + listener.format("twice", 2599, "submission", "auth = false"), ("auth = false", "AUTH"))
        self.refused(self.server.toml() + listener.format("odd", 2599, "submissions", 'tls = "starttls"'), ('tls = "starttls"', "implicit"))
        self.refused(self.server.toml() + listener.format("mx", 2599, "mx", ""), ('name = "mx"', "second listener"))

    def test_a_certificate_that_is_none(self):
        (self.server.home / "mail.crt").write_text("this is no certificate\n")
        self.refused(self.server.toml(), (f'certificate = "{self.server.home}/mail.crt"',))

    def test_a_listener_names_a_certificate_that_is_not_there(self):
        for kind, more in (("smtp", 'role = "mx"\n'), ("pop3", "")):
            listener = f'[[{kind}.listener]]\nname = "third"\naddress = "127.0.0.1:2599"\n{more}certificate = "locahlost"\n'
            with self.subTest(kind):
                self.refused(self.server.toml() + listener, ('certificate = "locahlost"', 'no certificate is for "locahlost"', '"localhost"'))

    def test_a_key_of_another_certificate(self):
        self.server.run("certificate", "other.test", "--out", self.server.home / "other", config=False)
        (self.server.home / "mail.key").write_bytes((self.server.home / "other.key").read_bytes())
        self.refused(self.server.toml(), (f'certificate = "{self.server.home}/mail.crt"',))

    def test_a_users_file_with_a_bad_line_does_not_show_the_secret(self):
        self.server.users_file.write_text("alice@example.test:plainsecret\n")
        done = self.server.run("check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"users:1:\d+")
        self.assertNotIn("plainsecret", done.stdout + done.stderr)

    def test_a_users_file_that_is_not_there(self):
        self.server.users_file.unlink()
        self.refused(self.server.toml(), (f'users_file = "{self.server.users_file}"',))

    def test_scripts_name_file_line_and_the_nearest_word(self):
        for wrong, parts in {
            SCRIPT.replace("recipient_is_local", "recipient_is_locl"): ["mail.lua:5", "recipient_is_local"],
            SCRIPT.replace('act.go "local"', 'act.go "nowhere"'): ["mail.lua:5", "nowhere"],
            SCRIPT.replace('  { act.bounce("5.7.1", "relaying denied") },\n', ""): ["mail.lua", "root"],
            "postern.pipeline(\n": ["mail.lua"],
            'local p = require "postern"\nfoo.bar()\n': ["mail.lua:2", "foo"],
            SCRIPT.replace("relay_limit(100)", 'relay_limit("many")'): ["mail.lua:4", "relay_limit"],
        }.items():
            with self.subTest(parts):
                self.server.script_file.write_text(wrong)
                done = self.server.run("check", check=False)
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                for part in parts:
                    self.assertIn(part, done.stderr)

    def test_no_configuration_at_all(self):
        self.server.config_file.unlink()
        done = self.server.run("run", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(self.server.config_file), done.stderr)

    def test_unknown_commands_and_options_are_usage_errors(self):
        for arguments in (["frobnicate"], ["run", "--frobnicate"], []):
            done = self.server.run(*arguments, config=False, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            for word in arguments[-1:]:
                self.assertIn(f'"{word}"', done.stderr)
        self.assertIn('did you mean "check"', self.server.run("chekc", config=False, check=False).stderr)

    def test_usage_errors_as_json(self):
        done = self.server.run("--json", "stauts", config=False, check=False)
        self.assertEqual(done.returncode, 2)
        fault = json.loads(done.stderr)
        self.assertEqual((fault["code"], fault["word"]), ("usage", "stauts"))
        self.assertIn("status", fault["hint"])

    def test_help_of_every_command_has_an_example(self):
        def walk(words, seen):
            text = self.server.run(*words, "--help", config=False).stdout
            self.assertRegex(text, r"(?m)^Example:\n  postern " + " ".join(words), words)
            seen.append(words)
            _, _, commands = text.partition("\nSubcommands:\n")
            for name in re.findall(r"(?m)^  (\w+)  ", commands):
                walk([*words, name], seen)
            return seen
        self.assertGreater(len(walk([], [])), 25)

    def test_commands_that_need_the_users_file_say_when_it_is_not_there(self):
        missing = self.server.home / "nobody"
        for arguments in (["list"], ["remove", "alice@example.test"], ["passwd", "alice@example.test", "--password-stdin"]):
            done = self.server.run("user", *arguments, "--file", missing, config=False, check=False, text="secret\n")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(f"{missing}: No such file", done.stderr)
        self.assertEqual(list(self.server.home.glob("nobody*")), [])

    def test_json_diagnostics_have_places(self):
        self.server.config_file.write_text(self.server.toml() + "[limits]\nmemry = 1\n")
        done = self.server.run("check", "--json", check=False)
        self.assertEqual(done.returncode, 1)
        answer = json.loads(done.stdout)
        self.assertFalse(answer["ok"])
        [fault] = answer["errors"]
        number = self.server.config_file.read_text().splitlines().index("memry = 1") + 1
        self.assertEqual((fault["severity"], fault["file"], fault["line"], fault["column"]), ("error", str(self.server.config_file), number, 1))
        self.assertIn("memry", fault["message"])
        self.assertIn("memory", fault["hint"])
        self.assertEqual(done.stderr, "")

    def test_other_commands_say_in_json_what_is_wrong_with_the_configuration(self):
        self.server.config_file.write_text(self.server.toml() + "[limits]\nmemry = 1\n")
        for command in (["status"], ["show", "config"], ["run"]):
            done = self.server.run(*command, "--json", check=False)
            self.assertEqual(done.returncode, 1)
            answer = json.loads(done.stderr)
            self.assertEqual(answer["code"], "config.refused")
            self.assertIn("1 error", answer["error"])
            self.assertIn("memry", answer["errors"][0]["message"])

    def test_json_survives_octets_that_are_no_utf8(self):
        folder = os.fsencode(self.server.home) + b"/\xffname"
        os.mkdir(folder)
        users = folder + b"/users"
        with open(users, "wb") as out:
            out.write(b"al\xffice@example.test:!\n")
        for arguments in ([b"user", b"list", b"--file", users], [b"check", b"--config", folder + b"/none.toml"],
                          [b"status", b"--socket", folder + b"/none.sock"], [b"user", b"remove", b"\xfe@x.test", b"--file", users],
                          [b"fro\xffb"]):
            done = subprocess.run([os.fsencode(POSTERN), *arguments, b"--json"], capture_output=True, timeout=60)
            lines = (done.stdout + done.stderr).decode().splitlines()
            self.assertTrue(lines, arguments)
            for line in lines:
                self.assertIsInstance(json.loads(line), dict, arguments)
            self.assertNotIn("type_error", done.stderr.decode())

    def test_what_is_named_as_a_file_and_is_none_is_refused_at_once(self):
        pipe = self.server.home / "pipe"
        os.mkfifo(pipe)
        script = self.server.script_file
        script.unlink()
        os.mkfifo(script)
        for arguments, config in ((["check"], True), (["run"], True), (["check", "--config", pipe], False)):
            done = self.server.run(*arguments, config=config, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("named pipe, not a file", done.stderr)

    def test_names_of_certificates_are_names(self):
        table = '[[tls.name]]\ncertificate = "@HOME@/mail.crt"\nkey = "@HOME@/mail.key"\n{}\n'.replace("@HOME@", str(self.server.home))
        for wrong in ('names = ["bad name"]', 'names = ["*.a.test", "a_b.test"]', 'names = [""]', 'names = ["*."]'):
            self.refused(self.server.toml() + table.format(wrong), (wrong, "tls.name[0].names["))
        self.server.config_file.write_text(self.server.toml() + table.format('names = ["localhost", "*.example.test"]'))
        self.server.run("check")

    def test_an_address_in_use_is_named(self):
        import socket
        from postern import HOST
        with socket.socket() as other:
            other.bind((HOST, self.server.ports["mx"]))
            other.listen()
            done = self.server.run("run", check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"{HOST}:{self.server.ports['mx']}", done.stderr)


class Good(unittest.TestCase):
    def test_the_sample_and_the_references_are_generated(self):
        server = Server(listeners=["mx"])
        for what, part in (("sample", "[server]"), ("settings", "max_recipients"), ("schema", '"properties"'), ("config", "hostname")):
            self.assertIn(part, server.run("show", what).stdout)
        self.assertIn("postern.toml", server.run("show", "config", "--origin").stdout)

    def test_the_sample_is_a_good_configuration(self):
        """Every setting at its default, with the needed ones filled in."""
        server = Server(listeners=["mx"])
        sample = server.run("show", "sample", config=False).stdout
        (server.home / "sample.toml").write_text(sample)
        done = server.run("check", "--config", server.home / "sample.toml", config=False, check=False)
        self.assertNotRegex(done.stderr, "unknown|syntax")

    def test_check_touches_nothing(self):
        server = Server()
        server.run("check")
        self.assertFalse(server.state.exists())

    def test_lists(self):
        server = Server(listeners=["mx"])
        self.assertIn("recipient_is_local", server.run("list", "matchers").stdout)
        self.assertIn("deliver", server.run("list", "mailets").stdout)
        self.assertIn("rcpt", server.run("list", "hooks").stdout)
        self.assertIn("smtp", server.run("list", "modules").stdout)


if __name__ == "__main__":
    main()
