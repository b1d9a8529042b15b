#!/usr/bin/python3
"""Break Poolite's sources one small change at a time, and see whether the tests notice.

scripts/mutate drives it; tests/mutate/README.md says what it does and why.
"""
import argparse
import collections
import ctypes
import filecmp
import fnmatch
import hashlib
import json
import multiprocessing
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # of what is imported from the sources
import mutants  # noqa: E402 pylint: disable=wrong-import-position

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, "build-mutate")
RESULTS = os.path.join(WORK, "results.json")
REASONS = os.path.join(ROOT, "tests", "mutate", "survivors.txt")
SOURCES = ("CMakeLists.txt", "broker", "client", "proto", "tests")
# What a stage runs: its program, and what that starts.
PROGRAMS = {
    "u": ("unit_tests",),
    "i": ("integration_tests", "poolited", "poolited-faulty", "poolite", "bench", "loop"),
    "t": ("torture", "poolited", "poolited-faulty"),
}
GOAL = 90  # percent of the mutants

CAUGHT, SURVIVED, NO_MUTANT = "caught", "survived", "no mutant"

# Which functions, where not all of a file's; then the test suites that concern them, first to last:
# u/PATTERN of unit_tests, i/PATTERN of integration_tests.  What they let through meets all others.
SCOPE = {
    "proto/frame.c": (None, "u/@(frame|messages|request)/* i/broker_@(sessions|limits)/*"),
    "broker/group.c": (
        None,
        "u/group/* i/broker_@(groups|script|faults)/* i/broker_@(errors|cancel|gone|stats|dead)/*",
    ),
    "broker/transaction.c": (
        None,
        "u/transaction/* i/broker_@(transactions|dead|gone)/* i/broker_@(cancel|errors|people|pool|sessions|stop)/*",
    ),
    "broker/lease.c": (None, "u/lease/* i/broker_@(transactions|dead|gone|script)/*"),
    "broker/db/guard.c": (None, "u/@(guard|guard_names)/* i/broker_@(errors|script|methods)/*"),
    # The rest is what keeps one client's work out of the next one's: reset, and what a
    # statement, a group or a lease leaves behind.
    "broker/db/connection.c": (
        "connection_run_own connection_own_number connection_begin_read connection_commit connection_rollback "
        "connection_undo connection_check_deferred connection_forget_counters "
        "connection_set_foreign_keys connection_is_clean",
        "u/@(reset|lease|group)/* i/broker_@(groups|dead|transactions|script)/* "
        "i/broker_@(cursor_end|cancel|faults)/*",
    ),
    "broker/db/deadline.c": (
        "connection_watch connection_unwatch connection_nudge",
        "u/@(reset|lease|group)/* i/broker_@(cursor_end|cancel|errors)/*",
    ),
    "broker/db/statement_cache.c": (
        "statement_done statement_cache_detach",
        "u/reset/* i/broker_@(methods|errors|groups)/*",
    ),
    "broker/db/pages.c": (
        "end connection_end_pages connection_fail_pages",
        "u/@(pages|lease|reset)/* i/broker_@(cursor|cursor_end)/*",
    ),
    "broker/db/wal.c": (
        "connection_check_files connection_saw_foreign_commit connection_take_files "
        "connection_give_files",
        "u/@(database|group)/* i/broker_@(faults|stats|script)/*",
    ),
    "broker/work.c": (
        "open_around run_transaction work_run",
        "u/@(work|group|lease)/* i/broker_@(methods|groups|dead|script|transactions)/* "
        "i/broker_@(errors|limits|faults)/*",
    ),
    "broker/reader.c": (
        "is_broken read_plain read_transaction run",
        "u/reader_thread/* i/broker_@(transactions|cursor|faults|methods|dead)/*",
    ),
    "broker/writer.c": (
        "writer_reopen take give_back check begin run_leased run_waiting",
        "u/@(writer_thread|group)/* i/broker_@(transactions|dead|groups|script|pool|faults)/*",
    ),
    "broker/database.c": (
        "database_commit database_must_stop database_refuse_writes database_refuses_writes",
        "u/database/* i/broker_@(faults|transactions)/*",
    ),
}
# What every mutant meets that the first tests let through.  Not the command's own tests,
# the benchmark's and the like: the files above reach them through what is here.
OTHERS = (
    "u/*/* i/broker_@(c|d|e|f|g)*/* i/broker_@(l|m|p|s|t)*/* i/client_*/* "
    "t/T7,T14,T15 t/T2,T4"
)


def say(text):
    print(text, flush=True)


# ---- one tree per worker -----------------------------------------------------


def copy_changed(origin, copy):
    """Make ${copy} what ${origin} is, touching only what differs, so that little is built anew."""
    if os.path.isdir(origin):
        os.makedirs(copy, exist_ok=True)
        for name in set(os.listdir(copy)) - set(os.listdir(origin)):
            gone = os.path.join(copy, name)
            shutil.rmtree(gone) if os.path.isdir(gone) else os.remove(gone)
        for name in os.listdir(origin):
            copy_changed(os.path.join(origin, name), os.path.join(copy, name))
    elif not os.path.exists(copy) or not filecmp.cmp(origin, copy, shallow=False):
        shutil.copy(origin, copy)


def read_source(root, file):
    with open(os.path.join(root, file), encoding="utf-8") as source:
        return source.read()


class Tree:
    """A copy of the sources, built, in which one file at a time is another.

    Made once, before the first mutant: who edits the sources meanwhile changes nothing.
    """

    def __init__(self, number, texts):
        """${texts}: what each file read when the mutants were made of it."""
        self.source = os.path.join(WORK, f"tree-{number}")
        self.build = os.path.join(self.source, "build")
        self.texts = texts
        os.makedirs(self.source, exist_ok=True)
        for name in SOURCES:
            copy_changed(os.path.join(ROOT, name), os.path.join(self.source, name))
        for file, text in texts.items():
            if read_source(self.source, file) != text:
                sys.exit(f"mutate: {file} changed while it was copied: start again")

    def path(self, file):
        return os.path.join(self.source, file)

    def make(self):
        """Configure and build all of it: unoptimised, without warnings, quickly."""
        for command in (
            ["cmake", "-G", "Ninja", "-S", self.source, "-B", self.build]
            + ["-D", "CMAKE_BUILD_TYPE=Debug", "-D", "CMAKE_C_FLAGS_DEBUG=-w"]
            + ["-D", "CMAKE_EXPORT_COMPILE_COMMANDS=ON", "-D", "POOLITE_TESTS=ON"],
            ["ninja", "-C", self.build, *sum(PROGRAMS.values(), ())],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"mutate: the sources do not build:\n{done.stdout}{done.stderr}")

    def write(self, file, text):
        with open(self.path(file), "w", encoding="utf-8") as out:
            out.write(text)

    def object_hash(self, file):
        """Of what an optimising compiler makes of it, or None.  The same: the same behaviour."""
        with open(os.path.join(self.build, "compile_commands.json"), encoding="utf-8") as commands:
            command = next(
                entry["command"]
                for entry in json.load(commands)
                if entry["file"] == self.path(file) and "FAILPOINTS" not in entry["command"]
            )
        out = os.path.join(self.source, "probe.o")
        words = shlex.split(command)
        words[words.index("-o") + 1] = out
        if subprocess.run(words + ["-O2"], capture_output=True, check=False).returncode:
            return None
        with open(out, "rb") as made:
            return hashlib.sha256(made.read()).hexdigest()

    def unit_suites(self):
        program = os.path.join(self.build, "bin", "unit_tests")
        listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
        return set(re.findall(r"^(\w+): \d+ tests?", listed.stdout, re.MULTILINE))

    # ---- programs, and all that they start -----------------------------------

    def run(self, stage, patience):
        """(whether it passed, what failed).  Nothing it started is left behind."""
        which, what = stage.split("/", 1)
        command = ["ninja", "-C", self.build, *PROGRAMS[which]]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False, ["does not compile"]
        command = [os.path.join(self.build, "bin", PROGRAMS[which][0])]
        if which == "t":
            command += ["--quick", "--only", what]
        else:
            command += ["--filter", what, "--fail-fast"]
            command += ["--jobs", "4", "--timeout", "60"]
        log = os.path.join(self.source, "output")
        with open(log, "w", encoding="utf-8") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.source
            )
            try:
                status = process.wait(patience)
            except subprocess.TimeoutExpired:
                status = "too long"
        end_descendants()
        process.wait()
        with open(log, encoding="utf-8", errors="replace") as lines:
            text = lines.read()
        if status == 0 and "Tested: 0 " not in text:
            return True, []
        if status == "too long":
            return False, ["too long"]
        failed = re.findall(r"\[FAIL\] (\w+)::(\w+)", text)
        short = re.findall(r"^(T\d+ .*?)  .*SHORT$", text, re.MULTILINE)
        return False, [f"{a}/{b}" for a, b in failed] or short or [f"status {status}"]


def descendants():
    parents = collections.defaultdict(list)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                parents[int(stat.read().rpartition(")")[2].split()[1])].append(int(pid))
        except OSError:
            continue  # it ended meanwhile
    found = []
    unseen = [os.getpid()]
    while unseen:
        children = parents[unseen.pop()]
        found += children
        unseen += children
    return found


def end_descendants():
    """Orphans come to us, as their subreaper: end them until there are none."""
    for _ in range(100):
        found = descendants()
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def adopt_orphans():
    """Be the parent of all that a test program leaves behind."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    signal.signal(signal.SIGTERM, end_all)
    signal.signal(signal.SIGINT, end_all)


def end_all(number, frame):
    """Told to end: nothing that a mutant sent into an endless loop stays behind."""
    del frame
    end_descendants()
    os._exit(128 + number)


# ---- judging -------------------------------------------------------------------


class Judge:
    """Runs a mutant's stages in order, the tests that caught others before it first."""

    def __init__(self, tree, patience):
        self.tree = tree
        self.patience = patience  # stage -> seconds
        self.killers = collections.defaultdict(collections.Counter)
        self.unit_suites = tree.unit_suites()

    def stages(self, file, with_others):
        own = SCOPE[file][1].split()
        best = [name for name, _ in self.killers[file].most_common(12) if "/" in name]
        for which in "ui":
            names = [n for n in best if (n.split("/")[0] in self.unit_suites) == (which == "u")]
            if names:
                yield f"{which}/@({'|'.join(names)})"
            yield from (stage for stage in own if stage[0] == which)
        if with_others:
            yield from OTHERS.split()

    def patience_for(self, file, stage):
        """Of those that caught others: as the file's own suites, which they are mostly of."""
        own = [s for s in SCOPE[file][1].split() if s[0] == stage[0]]
        return self.patience.get(stage) or max((self.patience[s] for s in own), default=60)

    def is_sure(self, stage, failed, patience):
        """Whether what failed, where time plays a part, fails again: else the machine did it."""
        which = stage[0]
        if which == "u" or "/" not in failed[0]:
            return which == "u" or failed[0] in ("too long", "does not compile")
        return not self.tree.run(f"{which}/@({'|'.join(failed)})", patience)[0]

    def judge(self, file, with_others):
        """(the outcome, by what)."""
        for stage in self.stages(file, with_others):
            patience = self.patience_for(file, stage)
            passed, failed = self.tree.run(stage, patience)
            if not passed and not self.is_sure(stage, failed, patience):
                passed, failed = self.tree.run(stage, patience)
            if not passed:
                for name in failed:
                    self.killers[file][name] += 1
                return CAUGHT, f"{stage}: {' '.join(failed[:3])}"
        return SURVIVED, ""


def work(tree, patience, todo, done):
    """A worker: mutants from ${todo}, (file, mutant, outcome, by what, seconds) to ${done}."""
    adopt_orphans()
    tree.make()
    judge = Judge(tree, patience)
    while (task := todo.get()) is not None:
        file, mutant, with_others = task
        started = time.monotonic()
        original = tree.texts[file]
        tree.write(file, mutant.apply(original))
        outcome, by = judge.judge(file, with_others)
        if outcome == SURVIVED:
            made = tree.object_hash(file)
            tree.write(file, original)
            if made == tree.object_hash(file):
                outcome, by = NO_MUTANT, "compiles to the same"
        elif by.endswith("does not compile"):
            outcome = NO_MUTANT
        tree.write(file, original)
        done.put((file, mutant, outcome, by, time.monotonic() - started))


# ---- reasons ---------------------------------------------------------------------


def name_of(file, mutant):
    """What identifies a mutant, also after lines were added above it."""
    which = f" ({mutant.nth})" if mutant.nth > 1 else ""
    return f"{file} {mutant.function}: {mutant.kind}{which}", mutant.source


def read_reasons():
    """{(head, source line): reason} of survivors.txt."""
    found = {}
    head = source = None
    with open(REASONS, encoding="utf-8") as lines:
        for line in map(str.rstrip, lines):
            if not line or line.startswith("#"):
                continue
            if not line[0].isspace():
                head, source = line, None
            elif source is None:
                source = line.strip()
            else:
                key = (head, source)
                found[key] = f"{found[key]} {line.strip()}" if key in found else line.strip()
    return found


# ---- the parts of a run ------------------------------------------------------------


def choose(options):
    """[(file, mutant)] that the command line asks for, and the text of each file."""
    chosen = []
    texts = {}
    for file, (functions, _) in SCOPE.items():
        only = [word for word in options.only if fnmatch.fnmatch(file, word.split(":")[0])]
        if options.only and not only:
            continue
        lines = {int(word.split(":")[1]) for word in only if ":" in word}
        texts[file] = read_source(ROOT, file)
        found = mutants.make(texts[file], functions and functions.split())
        missing = set((functions or "").split()) - {mutant.function for mutant in found}
        if missing:
            say(f"mutate: {file} has no mutants in {', '.join(sorted(missing))}")
        chosen += [(file, mutant) for mutant in found if not lines or mutant.line in lines]
    if options.survivors:
        last = read_results()
        survived = {key for key, entry in last.items() if entry["outcome"] == SURVIVED}
        chosen = [task for task in chosen if key_of(*task) in survived]
    if options.sample and options.sample < len(chosen):
        chosen = random.Random(options.seed).sample(chosen, options.sample)
        chosen.sort(key=lambda task: (list(SCOPE).index(task[0]), task[1].start))
    return chosen, texts


def baseline(tree, files, with_others):
    """How long each stage takes unbroken, times what a busy machine may need."""
    patience = {}
    for stage in dict.fromkeys(
        " ".join([SCOPE[file][1] for file in files] + [OTHERS] * with_others).split()
    ):
        started = time.monotonic()
        passed, failed = tree.run(stage, 300)
        if not passed:
            passed, failed = tree.run(stage, 300)
        if not passed:
            sys.exit(f"mutate: {stage} fails without a mutant: {' '.join(failed)}")
        patience[stage] = 15 + 5 * (time.monotonic() - started)
    return patience


def run(chosen, texts, jobs, is_quick, known):
    """[(file, mutant, outcome, by what)]; ${known} ones are taken from earlier runs."""
    results = [
        (f, m, known[key_of(f, m)]["outcome"], known[key_of(f, m)]["by"])
        for f, m in chosen
        if key_of(f, m) in known
    ]
    tasks = [(f, m) for f, m in chosen if key_of(f, m) not in known]
    say(f"mutate: {len(chosen)} changes, {len(results)} of them known from earlier runs")
    if not tasks:
        return results
    # One that has its reason need not meet all the others each time.
    reasons = read_reasons()
    tasks = [(f, m, not is_quick and name_of(f, m) not in reasons) for f, m in tasks]
    files = list(dict.fromkeys(file for file, _, _ in tasks))
    adopt_orphans()
    trees = [Tree(number, texts) for number in range(jobs)]
    trees[0].make()
    patience = baseline(trees[0], files, any(others for _, _, others in tasks))
    say("mutate: the tests pass without a mutant")

    todo, done = multiprocessing.Queue(), multiprocessing.Queue()
    for task in tasks + [None] * jobs:
        todo.put(task)
    workers = [
        multiprocessing.Process(target=work, args=(tree, patience, todo, done))
        for tree in trees
    ]
    for worker in workers:
        worker.start()
    for count in range(1, len(tasks) + 1):
        file, mutant, outcome, by, seconds = done.get()
        results.append((file, mutant, outcome, by))
        remember(*results[-1], seconds)
        say(f"{count}/{len(tasks)} {file}:{mutant.line} {mutant.kind}: "
            f"{outcome} {by[:120]} ({seconds:.0f} s)")
    for worker in workers:
        worker.join()
    return results


def read_results():
    if not os.path.exists(RESULTS):
        return {}
    with open(RESULTS, encoding="utf-8") as results:
        return {tuple(entry["mutant"]): entry for entry in json.load(results)}


def key_of(file, mutant):
    """As name_of, and told apart from others in that line."""
    return (*name_of(file, mutant), str(mutant.column), mutant.new)


def remember(file, mutant, outcome, by, seconds):
    """For --survivors and --resume: the last outcome of each mutant."""
    results = read_results()
    key = key_of(file, mutant)
    results[key] = {"mutant": key, "outcome": outcome, "by": by, "seconds": round(seconds, 1)}
    with open(RESULTS + ".new", "w", encoding="utf-8") as out:
        json.dump(list(results.values()), out, indent=1)
    os.replace(RESULTS + ".new", RESULTS)


def report(results):
    """The table and the survivors; whether all is well."""
    reasons = read_reasons()
    table = collections.defaultdict(collections.Counter)
    unexplained = []
    say("")
    for file, mutant, outcome, _ in results:
        if outcome == NO_MUTANT:
            continue
        reason = reasons.get(name_of(file, mutant)) if outcome == SURVIVED else None
        if reason and reason.startswith("Same:"):
            outcome = "same"
        table[file][outcome] += 1
        table["all"][outcome] += 1
        if outcome == SURVIVED:
            name, source = name_of(file, mutant)
            say(f"survived: {name}\n\t{source}\n\t(line {mutant.line}) {reason or 'NO REASON GIVEN'}")
            if not reason:
                unexplained.append(mutant)
    say(f"\n{'file':<28}{'mutants':>9}{'same':>6}{'caught':>8}{'survived':>10}{'caught':>10}")
    for file in [*SCOPE, "all"]:
        if file not in table:
            continue
        row = table[file]
        counted = row[CAUGHT] + row[SURVIVED]
        percent = 100 * row[CAUGHT] / counted if counted else 100
        say(f"{file:<28}{counted + row['same']:>9}{row['same']:>6}{row[CAUGHT]:>8}"
            f"{row[SURVIVED]:>10}{percent:>9.1f}%")
    say(f"\ngoal: at least {GOAL} % of all but the same, and a reason for each survivor")
    if unexplained:
        say(f"mutate: {len(unexplained)} survivors without a reason in tests/mutate/survivors.txt")
    return not unexplained and percent >= GOAL


def main():
    parser = argparse.ArgumentParser(prog="scripts/mutate")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="FILE[:LINE]")
    parser.add_argument("--sample", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--survivors", action="store_true")
    options = parser.parse_args()

    chosen, texts = choose(options)
    if options.list:
        for file, mutant in chosen:
            say(f"{file}:{mutant.line} {mutant.function}: {mutant.kind}\n\t{mutant.source}")
        say(f"{len(chosen)} changes")
        return 0
    if not chosen:
        sys.exit("mutate: no mutants")
    os.makedirs(WORK, exist_ok=True)
    if options.report:
        last = read_results()
        known = [(task, last[key_of(*task)]) for task in chosen if key_of(*task) in last]
        say(f"mutate: of {len(chosen)} changes {len(known)} were tried")
        return 0 if report([(*t, entry["outcome"], entry["by"]) for t, entry in known]) else 1
    known = {}
    if options.resume:
        reasons = read_reasons()
        known = {
            key: entry
            for key, entry in read_results().items()
            if entry["outcome"] != SURVIVED or key[:2] in reasons
        }
    return 0 if report(run(chosen, texts, options.jobs, options.quick, known)) else 1


if __name__ == "__main__":
    sys.exit(main())
