-- What scripts may use: Lua 5.4 as modules/lua gives it. `contrib/lint/scripts` runs luacheck with this.
std = "lua54"
not_globals = {
  "load", "loadfile", "dofile", "collectgarbage", "warn", "io", "debug", "package",
}
max_line_length = 130
-- A hook takes what it is handed, used or not.
unused_args = false
-- Generated, and read by editors only.
exclude_files = { "meta" }
