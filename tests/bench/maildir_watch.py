"""Waits until the Maildirs below a folder hold so many messages, then syncs.

maildir_watch.py FOLDER COUNT SECONDS prints {"files": n, "end": monotonic seconds after the sync}.
"""
import json
import os
import sys
import time


def maildirs(top):
    """The new/ and cur/ folders below `top`; a spool is not looked into."""
    found = []
    for folder, names, _ in os.walk(top):
        if {"new", "cur", "tmp"} <= set(names):
            found += [os.path.join(folder, "new"), os.path.join(folder, "cur")]
            names[:] = [n for n in names if n.startswith(".")]
    return found


def main():
    top, count, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    give_up = time.monotonic() + limit
    folders = maildirs(top)
    while True:
        files = sum(len(os.listdir(f)) for f in folders)
        if files >= count or time.monotonic() > give_up:
            break
        time.sleep(0.05 if files + 2000 < count else 0.01)
    os.sync()
    print(json.dumps({"files": files, "end": time.monotonic()}))


main()
