#!/usr/bin/python3
"""A client that shares no code with Poolite: sockets, msgpack, and proto/PROTOCOL.md.

Usage: foreign_client.py POOLITED.  Starts brokers of its own, calls every method,
and provokes every error that a client can.  Ends with "N passed, N failed".
"""
import http.client
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import msgpack

POOLITED = os.path.abspath(sys.argv[1])
PATIENCE = 20  # seconds any single wait may take: only a failure waits that long

tests = []


def test(function):
    tests.append(function)
    return function


class Refused(Exception):
    """An error answer."""

    def __init__(self, error):
        self.code, self.message, self.info = error
        self.name, self.done = self.info["name"], self.info["done"]
        super().__init__(f"{self.name}: {self.message}")


class Session:
    """One connection.  send() and receive() for pipelines, calls by method name."""

    def __init__(self, broker):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(broker.socket_path)
        self.unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        self.msgid = 0
        self.answers = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, *params):
        self.msgid += 1
        self.socket.sendall(msgpack.packb([0, self.msgid, method, list(params)]))
        return self.msgid

    def message(self):
        """The next message, None at the end of the stream."""
        while True:
            for message in self.unpacker:
                return message
            data = self.socket.recv(65536)
            if not data:
                return None
            self.unpacker.feed(data)

    def receive(self, msgid):
        while msgid not in self.answers:
            kind, answered, error, result = self.message()
            assert kind == 1, kind
            self.answers[answered] = (error, result)
        error, result = self.answers.pop(msgid)
        if error is not None:
            assert result is None, result
            raise Refused(error)
        return result

    def call(self, method, *params):
        return self.receive(self.send(method, *params))

    def __getattr__(self, method):
        return lambda *params: self.call(method, *params)

    def rows(self, sql, *args):
        return self.call("query", sql, list(args))["rows"]


class Broker:
    def __init__(self, *flags):
        self.folder = tempfile.TemporaryDirectory()
        self.database = os.path.join(self.folder.name, "test.db")
        self.socket_path = os.path.join(self.folder.name, "s")
        self.stats_path = os.path.join(self.folder.name, "h")
        self.flags = flags
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [POOLITED, "--db", self.database, "--socket", self.socket_path,
             "--stats-socket", self.stats_path, *self.flags],
            stderr=subprocess.PIPE, text=True)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if " ready" in line:
                break
        else:
            raise AssertionError(f"no broker: {self.log}")
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def session(self):
        return Session(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def equal(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def refused(name, call, *params, message=""):
    """The call has to be refused with that error, having done nothing."""
    try:
        result = call(*params)
    except Refused as refusal:
        equal(refusal.name, name)
        equal(refusal.done, "no")
        assert refusal.code < 0, refusal.code
        assert message in refusal.message, refusal.message
        return refusal
    raise AssertionError(f"not refused but {result!r}")


# ---- hello, ping, stats, health -------------------------------------------------


@test
def hello_tells_who_and_what(s):
    hello = s.hello()
    equal(hello["server"], "poolite")
    equal(hello["protocol"], 1)
    equal(len(hello["key"]), 32)
    assert hello["session"] >= 1
    assert "timeout_ms" in hello["features"]
    equal(hello["limits"]["max_frame_bytes"], 16 << 20)
    assert hello["sqlite"].startswith("3.")


@test
def ping_gives_pong(s):
    equal(s.ping(), "pong")


@test
def stats_and_health_have_the_pool_s_six_figures(s):
    figures = {"pool_size", "max_connections", "active_connections",
               "total_connections_created", "connection_timeout", "last_health_check"}
    stats = s.stats()
    assert figures <= set(stats), set(stats)
    health = s.health()
    equal(health["status"], "healthy")
    equal(health["database"], "connected")
    equal(health["database_pool"], "ready")
    assert figures <= set(health["database_pool_stats"])
    assert abs(health["database_pool_stats"]["last_health_check"] - time.time()) < 3600


@test
def stats_socket_speaks_http(s):
    class Connection(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(PATIENCE)
            self.sock.connect(s.broker.stats_path)

    connection = Connection("localhost")
    for path, status in ("/health", 200), ("/stats", 200), ("/", 200), ("/nothing", 404):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        equal((path, response.status), (path, status))
        if path == "/health":
            equal(json.loads(body)["database_pool_stats"]["max_connections"], 10)
    connection.request("POST", "/health", "x")
    equal(connection.getresponse().status, 405)


# ---- values -----------------------------------------------------------------------


@test
def values_come_back_as_they_went(s):
    values = [None, 0, -1, 2**63 - 1, -2**63, 0.25, float("inf"), "", "héllo\0x", b"", b"\0\xff"]
    s.script("CREATE TABLE kept (n INTEGER PRIMARY KEY, v)")
    for n, value in enumerate(values):
        s.update("INSERT INTO kept VALUES (?, ?)", [n, value])
    equal([v for (v,) in s.rows("SELECT v FROM kept ORDER BY n")], values)


@test
def booleans_and_short_floats_are_taken(s):
    equal(s.rows("SELECT ?, ?", True, False), [[1, 0]])
    s.socket.sendall(b"\x94\x00\x7f\xa5query\x92\xa8SELECT ?\x91\xca" + struct.pack(">f", 0.5))
    equal(s.receive(0x7F)["rows"], [[0.5]])


@test
def text_that_is_no_utf8_comes_as_bin(s):
    equal(s.rows("SELECT CAST(x'ff41' AS TEXT)"), [[b"\xffA"]])


@test
def arguments_go_by_name_with_or_without_prefix(s):
    for name in "a", ":a":
        equal(s.query("SELECT :a + 1", {name: 2})["rows"], [[3]])


@test
def wrong_arguments_are_bad_requests(s):
    for sql, args in (("SELECT ?", []), ("SELECT ?", [1, 2]), ("SELECT :a", {"b": 1}),
                      ("SELECT :a", {"a": 1, ":a": 1}), ("SELECT ?", [2**63]),
                      ("SELECT ?", [[1]]), ("SELECT ?", [{}]), ("SELECT 1", "x"),
                      ("SELECT ?", [msgpack.ExtType(1, b"")])):
        refused("BAD_REQUEST", s.query, sql, args)


@test
def sql_has_to_be_one_statement_of_text(s):
    for sql in "", "  -- nothing", "SELECT 1; SELECT 2", "SELECT 1\0", 5, None:
        refused("BAD_REQUEST", s.query, sql)
    equal(s.query("SELECT 1; -- the end")["rows"], [[1]])


@test
def method_may_be_bin_and_integers_of_any_width(s):
    s.socket.sendall(b"\xdc\x00\x04\xd3" + bytes(8) + b"\xcf" + struct.pack(">Q", 9)
                     + b"\xc4\x04ping\xdd" + bytes(4))
    equal(s.receive(9), "pong")


# ---- query, update, batch, transaction, script ------------------------------------------


def make_leads(s, name):
    s.script(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, title TEXT UNIQUE NOT NULL)")


@test
def query_names_columns_even_twice_and_without_rows(s):
    equal(s.query("SELECT 1 AS a, 2 AS a WHERE 0"), {"columns": ["a", "a"], "rows": []})


@test
def query_that_writes_tells_both(s):
    make_leads(s, "q1")
    result = s.query("INSERT INTO q1 (title) VALUES ('x') RETURNING id, title")
    equal(result, {"columns": ["id", "title"], "rows": [[1, "x"]],
                   "changes": 1, "last_insert_id": 1})


@test
def update_tells_changes_and_id(s):
    make_leads(s, "u1")
    equal(s.update("INSERT INTO u1 (title) VALUES ('a'), ('b')"),
          {"changes": 2, "last_insert_id": 2})
    equal(s.update("DELETE FROM u1 WHERE id = ?", [1]), {"changes": 1, "last_insert_id": 0})
    equal(s.update("CREATE INDEX u1i ON u1 (title)"), {"changes": 0, "last_insert_id": 0})
    refused("BAD_REQUEST", s.update, "SELECT 1", message="query")


@test
def batch_is_all_or_none(s):
    make_leads(s, "b1")
    sql = "INSERT INTO b1 (title) VALUES (?)"
    equal(s.batch(sql, [["a"], ["b"], ["c"]]), {"changes": 3, "last_insert_id": 3})
    equal(s.batch(sql, []), {"changes": 0, "last_insert_id": 0})
    refused("CONSTRAINT", s.batch, sql, [["d"], ["a"], ["e"]])
    refused("BAD_REQUEST", s.batch, sql, [["d"], []])
    equal(s.rows("SELECT count(*) FROM b1"), [[3]])


@test
def batch_in_chunks_is_done_up_to_the_first_that_fails(s):
    assert "chunk_rows" in s.hello()["features"]
    make_leads(s, "b2")
    sql = "INSERT INTO b2 (title) VALUES (?)"
    equal(s.batch(sql, [["a"], ["b"], ["c"]], {"chunk_rows": 2}),
          {"changes": 3, "last_insert_id": 3})
    try:
        s.batch(sql, [["d"], ["e"], ["f"], ["g"], ["a"], ["h"]], {"chunk_rows": 2})
    except Refused as refusal:
        equal(refusal.name, "CONSTRAINT")
        assert "(row 5 of 6)" in refusal.message, refusal.message
        equal((refusal.done, refusal.info["rows_done"]), ("part", 4))
    else:
        raise AssertionError("not refused")
    equal(s.rows("SELECT title FROM b2 WHERE id > 3 ORDER BY id"), [["d"], ["e"], ["f"], ["g"]])
    assert "rows_done" not in refused("CONSTRAINT", s.batch, sql, [["a"]], {"chunk_rows": 1}).info
    for size in 0, -1, 1.0, "2", 1000001:
        refused("BAD_REQUEST", s.batch, sql, [["i"]], {"chunk_rows": size}, message="chunk_rows")


@test
def transaction_gives_one_result_per_statement_or_none(s):
    make_leads(s, "t1")
    result = s.transaction([["INSERT INTO t1 (title) VALUES (?)", ["a"]],
                            ["SELECT last_insert_rowid()"]])
    equal(result, {"results": [{"changes": 1, "last_insert_id": 1},
                               {"columns": ["last_insert_rowid()"], "rows": [[1]]}]})
    refused("CONSTRAINT", s.transaction, [["INSERT INTO t1 (title) VALUES ('b')"],
                                          ["INSERT INTO t1 (title) VALUES ('a')"]])
    equal(s.rows("SELECT count(*) FROM t1"), [[1]])


@test
def script_takes_a_dump(s):
    result = s.script("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"
                      "CREATE TABLE d1 (x);\nINSERT INTO d1 VALUES (1), (2);\nCOMMIT;\n")
    equal(result, {"statements": 2, "changes": 2})
    equal(s.rows("PRAGMA foreign_key_check"), [])


@test
def script_is_all_or_none(s):
    refused("SQL_ERROR", s.script, "CREATE TABLE s1 (x); INSERT INTO nowhere VALUES (1)")
    equal(s.rows("SELECT count(*) FROM sqlite_schema WHERE name = 's1'"), [[0]])


@test
def rebuilding_a_parent_table_does_not_cascade(s):
    s.script("CREATE TABLE parent (id INTEGER PRIMARY KEY);"
             "CREATE TABLE child (p REFERENCES parent ON DELETE CASCADE);"
             "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1)")
    s.script("CREATE TABLE fresh (id INTEGER PRIMARY KEY, x); INSERT INTO fresh SELECT id, 0 FROM parent;"
             "DROP TABLE parent; ALTER TABLE fresh RENAME TO parent", {"foreign_keys": False})
    equal(s.rows("SELECT count(*) FROM child"), [[1]])
    refused("CONSTRAINT", s.script, "DELETE FROM parent", {"foreign_keys": False})
    equal(s.rows("SELECT count(*) FROM parent"), [[1]])
    refused("CONSTRAINT", s.update, "INSERT INTO child VALUES (99)")


@test
def or_fail_leaves_nothing_behind(s):
    make_leads(s, "f1")
    s.update("INSERT INTO f1 VALUES (5, 'five')")
    refused("CONSTRAINT", s.update, "INSERT OR FAIL INTO f1 VALUES (6, 'six'), (5, 'again')")
    refused("CONSTRAINT", s.update, "INSERT OR ROLLBACK INTO f1 VALUES (5, 'again')")
    equal(s.rows("SELECT count(*) FROM f1"), [[1]])


# ---- transactions over round trips ----------------------------------------------------


def pages_of(s, sql, args, page_rows):
    """All rows of a query, page by page."""
    page = s.query(sql, args, {"page_rows": page_rows})
    while True:
        assert len(page["rows"]) <= page_rows, len(page["rows"])
        yield from page["rows"]
        if "cursor" not in page:
            return
        page = s.fetch(page["cursor"])


COUNT_TO = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    SELECT i, 'row ' || i FROM n"""


@test
def rows_in_pages_are_the_same_rows(s):
    for page_rows in (1, 7, 100, 101):
        equal(list(pages_of(s, COUNT_TO, [100], page_rows)),
              [[i, f"row {i}"] for i in range(1, 101)])
    rows = pages_of(s, COUNT_TO, [200_000], 1000)
    equal(sum(i for i, _ in rows), 200_000 * 200_001 // 2)
    refused("BAD_REQUEST", s.fetch, 1, message="no cursor 1")
    assert "pages" in s.hello()["features"]


@test
def page_is_told_what_its_query_saw(s):
    make_leads(s, "leads_in_pages")
    s.update("INSERT INTO leads_in_pages (title) VALUES ('a'), ('b'), ('c')")
    page = s.query("SELECT title FROM leads_in_pages ORDER BY id", None, {"page_rows": 1})
    s.update("DELETE FROM leads_in_pages")
    equal(s.fetch(page["cursor"], 1)["rows"], [["b"]])
    equal(s.close(page["cursor"]), None)
    refused("BAD_REQUEST", s.close, page["cursor"])


@test
def pages_inside_a_transaction_end_with_it(s):
    s.begin()
    s.update("CREATE TABLE paged AS SELECT 1 AS x UNION SELECT 2 UNION SELECT 3")
    page = s.query("SELECT x FROM paged", None, {"page_rows": 2})
    equal(page["rows"], [[1], [2]])
    s.rollback()
    refused("BAD_REQUEST", s.fetch, page["cursor"], message="transaction ended")


@test
def statement_that_writes_is_never_paged(s):
    s.update("CREATE TABLE whole (x)")
    result = s.query("INSERT INTO whole VALUES (1), (2), (3) RETURNING x", None, {"page_rows": 1})
    equal(result["rows"], [[1], [2], [3]])
    equal(result["changes"], 3)


@test
def begin_commit_and_rollback(s):
    make_leads(s, "x1")
    equal(s.begin(), {"mode": "write"})
    s.update("INSERT INTO x1 (title) VALUES ('a')")
    with s.broker.session() as other:
        equal(other.rows("SELECT count(*) FROM x1"), [[0]])
    equal(s.commit(), None)
    s.begin({"mode": "write"})
    s.update("DELETE FROM x1")
    equal(s.rollback(), None)
    equal(s.rows("SELECT count(*) FROM x1"), [[1]])


@test
def read_transaction_keeps_its_snapshot(s):
    make_leads(s, "x2")
    with s.broker.session() as other:
        equal(other.begin({"mode": "read"}), {"mode": "read"})
        s.update("INSERT INTO x2 (title) VALUES ('a')")
        equal(other.rows("SELECT count(*) FROM x2"), [[0]])
        refused("READ_ONLY", other.update, "DELETE FROM x2")
        other.commit()
        equal(other.rows("SELECT count(*) FROM x2"), [[1]])


@test
def failed_statement_did_nothing_and_the_transaction_goes_on(s):
    make_leads(s, "x3")
    s.begin()
    s.update("INSERT INTO x3 VALUES (1, 'a')")
    refused("CONSTRAINT", s.update, "INSERT OR FAIL INTO x3 VALUES (2, 'b'), (1, 'c')")
    refused("BAD_REQUEST", s.begin)
    s.update("SAVEPOINT mine")
    s.update("DELETE FROM x3")
    s.update("ROLLBACK TO mine")
    refused("NOT_ALLOWED", s.update, 'SAVEPOINT "POOlite_x"')
    s.commit()
    equal(s.rows("SELECT id FROM x3"), [[1]])


@test
def dead_transaction_refuses_all_until_its_end(s):
    make_leads(s, "x4")
    s.begin()
    s.update("INSERT INTO x4 VALUES (1, 'a')")
    refused("CONSTRAINT", s.update, "INSERT OR ROLLBACK INTO x4 VALUES (1, 'b')")
    refused("CONSTRAINT", s.update, "INSERT INTO x4 VALUES (2, 'c')")
    equal(s.ping(), "pong")
    refused("CONSTRAINT", s.commit)
    refused("NO_TRANSACTION", s.commit)
    equal(s.rows("SELECT count(*) FROM x4"), [[0]])


@test
def pipelined_transaction_with_abort_stops_at_its_first_error(s):
    make_leads(s, "x5")
    ids = [s.send("begin", {"on_error": "abort"}),
           s.send("update", "INSERT INTO x5 VALUES (1, 'a')"),
           s.send("update", "INSERT INTO x5 VALUES (1, 'b')"),
           s.send("update", "INSERT INTO x5 VALUES (2, 'c')"), s.send("commit")]
    equal(s.receive(ids[0]), {"mode": "write"})
    equal(s.receive(ids[1])["changes"], 1)
    for msgid in ids[2:]:
        refused("CONSTRAINT", s.receive, msgid)
    equal(s.rows("SELECT count(*) FROM x5"), [[0]])


@test
def deferred_foreign_key_fails_the_commit(s):
    s.script("CREATE TABLE p6 (id INTEGER PRIMARY KEY);"
             "CREATE TABLE c6 (p REFERENCES p6 DEFERRABLE INITIALLY DEFERRED)")
    refused("CONSTRAINT", s.update, "INSERT INTO c6 VALUES (9)")
    s.begin()
    s.update("INSERT INTO c6 VALUES (1)")
    s.update("INSERT INTO p6 VALUES (1)")
    s.commit()
    s.begin()
    s.update("INSERT INTO c6 VALUES (2)")
    refused("CONSTRAINT", s.commit)
    equal(s.rows("SELECT count(*) FROM c6"), [[1]])


@test
def transaction_of_a_client_that_leaves_is_rolled_back(s):
    make_leads(s, "x7")
    with s.broker.session() as other:
        other.begin()
        other.update("INSERT INTO x7 VALUES (1, 'a')")
    s.begin()
    equal(s.rows("SELECT count(*) FROM x7"), [[0]])
    s.rollback()


@test
def writer_queue_times_out_and_names_the_holder(s):
    with s.broker.session() as other:
        other.begin()
        refused("POOL_TIMEOUT", s.update, "CREATE TABLE never (x)", None, {"timeout_ms": 200},
                message=str(os.getpid()))
        other.rollback()


# ---- the guard ------------------------------------------------------------------------


@test
def guard_refuses_what_would_touch_others(s):
    for sql in ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ATTACH 'x' AS y", "VACUUM",
                "VACUUM INTO 'x'", "CREATE TEMP TABLE t (x)", "PRAGMA journal_mode=DELETE",
                "PRAGMA synchronous=OFF", "PRAGMA hard_heap_limit=1",
                "SELECT load_extension('x')", "SELECT last_insert_rowid()", "SELECT changes()"):
        refused("NOT_ALLOWED", s.query, sql)
    equal(s.rows("PRAGMA user_version"), [[0]])


@test
def honest_features_of_sqlite_work(s):
    s.script("CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('one two');"
             "CREATE TABLE strict1 (x INTEGER) STRICT; ALTER TABLE strict1 ADD COLUMN y TEXT;"
             "CREATE VIEW v1 AS SELECT json_extract('{\"a\":1}', '$.a') AS a")
    equal(s.rows("SELECT body FROM words WHERE words MATCH 'two'"), [["one two"]])
    equal(s.rows("SELECT a FROM v1"), [[1]])


# ---- deadlines, cancel, limits ------------------------------------------------------------

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@test
def deadline_stops_a_running_read_and_a_running_write(s):
    refused("QUERY_TIMEOUT", s.query, ENDLESS, None, {"timeout_ms": 200})
    s.script("CREATE TABLE e1 (x)")
    refused("QUERY_TIMEOUT", s.update, "INSERT INTO e1 " + ENDLESS, None, {"timeout_ms": 200})
    equal(s.rows("SELECT count(*) FROM e1"), [[0]])


@test
def cancel_ends_a_request_of_the_same_session(s):
    msgid = s.send("query", ENDLESS)
    equal(s.cancel(msgid), True)
    refused("CANCELLED", s.receive, msgid)
    equal(s.cancel(msgid), False)
    msgid = s.send("query", ENDLESS)
    s.socket.sendall(msgpack.packb([2, "cancel", [msgid]]))
    refused("CANCELLED", s.receive, msgid)


@test
def cancel_from_another_session_needs_the_key(s):
    hello = s.hello()
    msgid = s.send("query", ENDLESS)
    with s.broker.session() as other:
        refused("NOT_ALLOWED", other.cancel, msgid, hello["session"], "0" * 32)
        refused("BAD_REQUEST", other.cancel, msgid, hello["session"])
        equal(other.cancel(msgid, hello["session"], hello["key"]), True)
    refused("CANCELLED", s.receive, msgid)


@test
def too_large_a_result_is_refused_whole(s):
    refused("TOO_LARGE", s.query, "SELECT zeroblob(70000000)")
    refused("TOO_LARGE", s.query, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
            "LIMIT 80) SELECT zeroblob(1000000) FROM n")
    equal(s.ping(), "pong")


@test
def unknown_methods_options_and_surplus_are_refused(s):
    refused("UNKNOWN_METHOD", s.call, "drop_everything")
    refused("BAD_REQUEST", s.query, "SELECT 1", None, {"no_such_option": 1})
    refused("BAD_REQUEST", s.query, "SELECT 1", None, {"timeout_ms": -1})
    refused("BAD_REQUEST", s.query, "SELECT 1", None, None, 5)
    refused("BAD_REQUEST", s.query)
    equal(s.query("SELECT 1", None, None, None)["rows"], [[1]])


@test
def notifications_execute_nothing(s):
    s.script("CREATE TABLE n1 (x)")
    for method in "update", "nvim_set_client_info", b"update":
        s.socket.sendall(msgpack.packb([2, method, ["INSERT INTO n1 VALUES (1)"]]))
    equal(s.rows("SELECT count(*) FROM n1"), [[0]])


# ---- broken streams ----------------------------------------------------------------------


def broken(s, data, name):
    """Send ${data} behind a good request: answer, notification, end."""
    with s.broker.session() as other:
        other.socket.sendall(msgpack.packb([0, 1, "ping", []]) + data)
        equal(other.receive(1), "pong")
        kind, method, params = other.message()
        equal((kind, method, params[0][2]["name"]), (2, "error", name))
        equal(other.message(), None)


@test
def broken_frames_get_a_reason_and_the_end(s):
    broken(s, b"\xc1", "BAD_REQUEST")
    broken(s, b"\xdd\xff\xff\xff\xff", "TOO_LARGE")
    broken(s, b"\xdd\x00\xff\xff\xff", "TOO_LARGE")
    broken(s, b"\xc6\xff\xff\xff\xff", "TOO_LARGE")
    broken(s, b"\x91" * 17, "TOO_LARGE")
    broken(s, b"\x05", "BAD_REQUEST")
    broken(s, msgpack.packb([0, "x", "ping", []]), "BAD_REQUEST")
    equal(s.ping(), "pong")


@test
def request_byte_by_byte_is_a_request(s):
    for byte in msgpack.packb([0, 3, "query", ["SELECT ?", ["slow"]]]):
        s.socket.sendall(bytes([byte]))
    equal(s.receive(3)["rows"], [["slow"]])


@test
def half_closed_client_gets_its_answers(s):
    s.script("CREATE TABLE h1 (x)")
    with s.broker.session() as other:
        ids = [other.send("update", "INSERT INTO h1 VALUES (?)", [n]) for n in range(50)]
        other.socket.shutdown(socket.SHUT_WR)
        for msgid in ids:
            equal(other.receive(msgid)["changes"], 1)
        equal(other.message(), None)
    equal(s.rows("SELECT count(*) FROM h1"), [[50]])


@test
def many_requests_in_flight_are_all_answered(s):
    s.script("CREATE TABLE m1 (x)")
    ids = [s.send("update", "INSERT INTO m1 VALUES (?)", [n]) for n in range(2000)]
    for msgid in ids:
        equal(s.receive(msgid)["changes"], 1)
    equal(s.rows("SELECT count(*), sum(x) FROM m1"), [[2000, 1999000]])


@test
def read_sees_what_another_session_was_answered(s):
    s.script("CREATE TABLE r1 (x)")
    with s.broker.session() as other:
        for n in range(300):
            s.update("INSERT INTO r1 VALUES (?)", [n])
            equal(other.rows("SELECT count(*) FROM r1"), [[n + 1]])


# ---- brokers of their own ---------------------------------------------------------------


@test
def idle_transaction_expires_when_others_wait(_):
    with Broker("--transaction-idle-timeout", "0.3") as broker:
        with broker.session() as holder, broker.session() as waiter:
            holder.begin()
            waiter.update("CREATE TABLE t (x)")
            refused("TRANSACTION_EXPIRED", holder.update, "INSERT INTO t VALUES (1)")
            refused("TRANSACTION_EXPIRED", holder.commit)
            equal(holder.rows("SELECT count(*) FROM t"), [[0]])


@test
def newcomer_beyond_max_clients_is_told(_):
    with Broker("--max-clients", "2") as broker:
        with broker.session() as one, broker.session() as two, broker.session() as three:
            equal((one.ping(), two.ping()), ("pong", "pong"))
            equal(three.message()[2][0][2]["name"], "OVERLOADED")
            equal(three.message(), None)
            equal(one.ping(), "pong")


@test
def clean_stop_keeps_what_was_answered(_):
    with Broker() as broker:
        with broker.session() as s:
            s.script("CREATE TABLE t (x)")
            equal(s.update("INSERT INTO t VALUES (1)")["changes"], 1)
        equal(broker.stop(), 0)
        assert not os.path.exists(broker.socket_path)
        found = sqlite3.connect(broker.database)
        equal(found.execute("SELECT count(*) FROM t").fetchall(), [(1,)])
        equal(found.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        equal(found.execute("PRAGMA journal_mode").fetchall(), [("wal",)])
        found.close()


@test
def killed_broker_comes_back_on_the_same_socket(_):
    with Broker() as broker:
        with broker.session() as s:
            s.script("CREATE TABLE t (x)")
            for n in range(100):
                s.update("INSERT INTO t VALUES (?)", [n])
            broker.process.kill()
            broker.process.wait()
            equal(s.message(), None)
        broker.start()
        with broker.session() as s:
            equal(s.rows("SELECT count(*) FROM t"), [[100]])


@test
def second_broker_on_the_same_file_refuses_to_start(_):
    with Broker() as broker:
        for other in (["--db", broker.database, "--socket", broker.socket_path + "2"],
                      ["--db", broker.database + "2", "--socket", broker.socket_path]):
            second = subprocess.run([POOLITED, *other], stderr=subprocess.PIPE, timeout=PATIENCE)
            assert second.returncode != 0
            assert second.stderr, "no reason given"
        with broker.session() as s:
            equal(s.ping(), "pong")


def main():
    failed = 0
    with Broker() as broker:
        for function in tests:
            try:
                with broker.session() as s:
                    s.broker = broker
                    function(s)
                print(f"ok      {function.__name__}")
            except Exception:  # a test's failure must not end the others
                failed += 1
                print(f"FAILED  {function.__name__}")
                traceback.print_exc(file=sys.stdout)
        if broker.stop() != 0:
            failed += 1
            print("FAILED  the broker did not stop cleanly")
        # One test is that clean stop.
    print(f"{len(tests) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
