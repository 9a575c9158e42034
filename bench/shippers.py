#!/usr/bin/env python3
"""What the agent costs, beside other shippers: tables and plots for docs/performance.md.

    bench/shippers.py table [--rounds 5] [--lines 500000] [NAME...]   interleaved runs to a null Elasticsearch
    bench/shippers.py scaling [--gb 1,3,10]                           size, number of files, length of lines: CSV and SVG
    bench/shippers.py sqlite                                          activities a second into SQLite, with full text
    bench/shippers.py elasticsearch --url URL [NAME...]               lines a second into a real Elasticsearch, whose indices it deletes

The harness is ../shared/bench (BENCH names its binary, and CONFIGS the folder of the peers' configurations); a peer that is
not installed is left out. The agent is bin/activity-agent (make build), or AGENT. On Debian: `apt-get install rsyslog
rsyslog-elasticsearch`; syslog-ng conflicts with it, so unpack its packages and their libraries (`dpkg -x`) into a folder and name that with SNG. FILED names
a binary of file.d; it runs as it is, and with its masks for passwords, cards and e-mail addresses.
"""

import argparse, csv, json, os, pathlib, random, re, shlex, shutil, signal, statistics, subprocess, sys, tempfile, time, urllib.parse, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "bench"
WORK = pathlib.Path(os.environ.get("WORK", tempfile.gettempdir())) / "activity-bench"
AGENT = os.environ.get("AGENT", str(ROOT / "bin" / "activity-agent"))
CONFIGS = pathlib.Path(os.environ.get("CONFIGS", SHARED / "configs"))
DOCS = ROOT / "docs" / "performance"

CONFIG = """\
agent: {{state_dir: "{state}", id: bench}}
files: [{{include: ["{input}"]}}]
ingest: {{listen: ""}}
admin: {{listen: ""}}
pipeline: {{redact: {{detect: {detect}}}}}
store: {{{store}}}
"""
ELASTICSEARCH = 'elasticsearch: {{addresses: ["http://127.0.0.1:{port}"], compression: {compression}}}'


def config(detect="default", compression="none", state="{WORK}/state", input="{INPUT}", port="{PORT}", store=None):
    store = store or ELASTICSEARCH.format(port=port, compression=compression)
    return CONFIG.format(detect=detect, state=state, input=input, store=store)


IN_MEMORY = "/dev/shm/activity-bench-state"

# Ours, each with one thing changed.
OURS = {
    "plain": {},
    "gzip": {"compression": "gzip"},
    "detect-none": {"detect": "none"},
    "ledger-in-memory": {"state": IN_MEMORY},  # its fsyncs cost nothing there
}


def harness():
    """The path of the built harness."""
    if "BENCH" in os.environ:
        return os.environ["BENCH"]
    binary = WORK / "bench"
    source = WORK / "bench-source"
    if not binary.exists():
        shutil.copytree(SHARED, source, dirs_exist_ok=True)
        subprocess.run(["chmod", "-R", "u+w", str(source)], check=True)
        subprocess.run(["go", "build", "-o", str(binary), "."], cwd=source, check=True)
    return str(binary)


def lines_of(bench, n):
    path = WORK / f"lines-{n}.log"
    if not path.exists():
        subprocess.run([bench, "gen", "--lines", str(n), "--seed", "1", "--out", str(path)], check=True, capture_output=True)
    return path


def contestants():
    """Name -> (arguments of `bench run`, command of the version) for what there is to run."""
    found = {}
    for name, changes in OURS.items():
        path = WORK / f"{name}.yaml"
        path.write_text(config(**changes))
        found[name] = ["--config", str(path), "--agent", f"{AGENT} run -c {{WORK}}/{name}.yaml"]
    ideal = "{BENCH} ideal %s--input {INPUT} --url http://127.0.0.1:{PORT}/logs/_bulk"
    found["ideal"] = ["--agent", ideal % ""]
    found["ideal-gzip"] = ["--agent", ideal % "--gzip 1 "]
    if shutil.which("rsyslogd"):
        found["rsyslog"] = ["--config", str(CONFIGS / "rsyslog.conf"), "--agent", "rsyslogd -n -f {WORK}/rsyslog.conf -i {WORK}/rs.pid"]
    if "SNG" in os.environ:
        wrapper = WORK / "syslog-ng.sh"
        wrapper.write_text('#!/bin/sh\nR=%s\nexport LD_LIBRARY_PATH=$R/usr/lib/syslog-ng:$R/usr/lib/x86_64-linux-gnu:$R/lib/x86_64-linux-gnu\nexec $R/usr/sbin/syslog-ng -F --no-caps --module-path '
                           '$R/usr/lib/syslog-ng/3.38 -f $1/syslog-ng.conf -R $1/p -c $1/ctl -p $1/pid\n' % os.environ["SNG"])
        wrapper.chmod(0o755)
        found["syslog-ng"] = ["--config", str(CONFIGS / "syslog-ng.conf"), "--agent", f"{wrapper} {{WORK}}"]
    if "FILED" in os.environ:
        for name in ("filed", "filed-redact"):
            found[name] = ["--config", str(CONFIGS / f"{name}.yaml"), "--agent", f"{os.environ['FILED']} --config={{WORK}}/{name}.yaml --http=off"]
    return found


def spread(values, digits=0):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def table(o):
    bench, all_of_them = harness(), contestants()
    names = o.names or list(all_of_them)
    path, rows = lines_of(bench, o.lines), {n: [] for n in names}
    for round in range(o.rounds):
        for name in names:
            shutil.rmtree(IN_MEMORY, ignore_errors=True)
            run = subprocess.run(["taskset", "-c", "1", bench, "run", "--name", name, "--input", str(path), "--work", str(WORK / "run"),
                                  *all_of_them[name]], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(WORK.parent)})
            if run.returncode or not (result := json.loads(run.stdout))["all_arrived"]:
                print(f"{name}: did not deliver: {run.stderr or run.stdout}", file=sys.stderr)
                continue
            rows[name].append(result)
            print(f"round {round + 1}: {name} {result['agent_cpu_s_per_gb']:.2f} CPU-s/GB", file=sys.stderr)
    print(f"| {o.lines:,} lines, {o.rounds} rounds | lines/s on one core | CPU-s/GB | times ideal | peak RSS, MB | missing | twice |\n|---|---|---|---|---|---|---|")
    cost = lambda name: statistics.median(r["agent_cpu_s_per_gb"] for r in rows[name]) if rows.get(name) else float("nan")
    for name, rs in rows.items():
        if rs:
            print(f"| {name} | {spread([r['lines_per_s'] for r in rs])} | {spread([r['agent_cpu_s_per_gb'] for r in rs], 2)} | {cost(name) / cost('ideal'):.1f} "
                  f"| {max(r['peak_rss_mb'] for r in rs):.0f} | {max(r['missing'] for r in rs)} | {max(r['duplicates'] for r in rs)} |")


def ship(text, store=None, port=0):
    """Runs the agent over files to their end. Returns CPU seconds, seconds, and the peak of resident MB."""
    state = WORK / "state"
    shutil.rmtree(state, ignore_errors=True)
    (WORK / "one.yaml").write_text(config(state=str(state), input=text, port=port, store=store))
    start = time.monotonic()
    p = subprocess.Popen([AGENT, "run", "-c", str(WORK / "one.yaml"), "--exit-when-idle", "200ms"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, pid = 0, 0
    while not pid:
        time.sleep(0.05)
        pid, status, used = os.wait4(p.pid, os.WNOHANG)
        peak = max(peak, high_water(p.pid))  # ru_maxrss counts what this process had when it forked
    if status:
        sys.exit(f"the agent failed on {text}")
    return used.ru_utime + used.ru_stime, time.monotonic() - start, peak / 1000


def high_water(pid):
    """KiB, 0 for a process that has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(l.split()[1]) for l in status.splitlines() if l.startswith("VmHWM")), 0)


def spread_over(source, size, files, folder):
    """Writes about size bytes of whole lines into that many files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines, written, k = source.read_bytes().splitlines(keepends=True), 0, 0
    per = max(1, len(lines) // files)
    with_all = [open(folder / f"{i}.log", "wb") for i in range(files)]
    while written < size:
        chunk = b"".join(lines[k * per % len(lines):][:per])[: size - written]
        chunk = chunk[: chunk.rfind(b"\n") + 1] or lines[0]
        written += with_all[k % files].write(chunk)
        k += 1
    for f in with_all:
        f.close()
    return written


def long_lines(length, size, path):
    """Writes lines of that length, of words, numbers and identifiers."""
    rnd = random.Random(1)
    words = ["order", "shipped", "customer", "e7d0b5c1f2a3", "482913", "timeout", "checkout", "pending", "retry", "usr_135163"]
    with open(path, "w") as f:
        for seq in range(max(size // length, 20)):
            head = f'{{"level":"info","user_id":"u{seq}","msg":"'
            text = " ".join(rnd.choices(words, k=max(1, (length - len(head) - 3) // 8)))
            f.write(head + text[: max(1, length - len(head) - 3)] + '"}\n')
    return path.stat().st_size


def scaling(o):
    bench = harness()
    source, data, rows = lines_of(bench, 500_000), WORK / "data", []
    port = random.randint(20000, 30000)
    sink = subprocess.Popen([bench, "sink", "--port", str(port), "--lines", "1000000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        sizes = [float(g) for g in o.gb.split(",")]
        for series, values in (("size, GB", sizes), ("files", [1, 10, 100, 1000]), ("line, bytes", [100, 300, 1000, 10_000, 100_000, 1_000_000])):
            for x in values:
                if series == "line, bytes":
                    shutil.rmtree(data, ignore_errors=True)
                    data.mkdir(parents=True)
                    size = long_lines(x, int(2e8), data / "0.log")
                else:
                    size = spread_over(source, int((x if series == "size, GB" else sizes[0]) * 1e9), x if series == "files" else 1, data)
                cpu, _, rss = ship(f"{data}/*.log", port=port)
                rows.append([series, x, round(cpu / size * 1e9, 2), round(rss, 1)])
                print(*rows[-1], sep=", ", file=sys.stderr)
    finally:
        sink.terminate()
        sink.wait()
    DOCS.mkdir(exist_ok=True)
    with open(DOCS / "scaling.csv", "w", newline="") as f:
        csv.writer(f, lineterminator="\n").writerows([["series", "x", "cpu_s_per_gb", "peak_rss_mb"], *rows])
    (DOCS / "scaling.svg").write_text(plot(rows))


def plot(rows):
    """A panel for each series: CPU-seconds per GB as a full line, MB of memory as a dashed one, both from 0."""
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 270" font-family="sans-serif" font-size="12">'
           '<rect width="960" height="270" fill="white"/>']
    top = [max(r[k] for r in rows) * 1.15 for k in (2, 3)]
    for at, series in enumerate(dict.fromkeys(r[0] for r in rows)):
        own, left = [r for r in rows if r[0] == series], 40 + at * 310
        step = 240 / max(1, len(own) - 1)
        out.append(f'<path d="M{left} 40V220H{left + 250}" fill="none" stroke="#888"/><text x="{left}" y="262">{series}</text>')
        for k, color, dash in ((2, "#1f5fbf", ""), (3, "#bf5f1f", ' stroke-dasharray="5 4"')):
            points = [(left + 5 + i * step, 220 - r[k] / top[k - 2] * 180) for i, r in enumerate(own)]
            out.append(f'<polyline points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in points)}" fill="none" stroke="{color}" stroke-width="2"{dash}/>')
            out += [f'<text x="{x:.0f}" y="{y - 7:.0f}" fill="{color}" text-anchor="middle" font-size="10">{r[k]:g}</text>' for (x, y), r in zip(points, own)]
        out += [f'<text x="{left + 5 + i * step:.0f}" y="238" text-anchor="middle" font-size="10">{r[1]:g}</text>' for i, r in enumerate(own)]
    out.append('<text x="40" y="20" fill="#1f5fbf">CPU-seconds per GB</text><text x="200" y="20" fill="#bf5f1f">peak RSS, MB (dashed)</text></svg>\n')
    return "\n".join(out)


def sqlite(o):
    path, n = lines_of(harness(), 100_000), 100_000
    for round in range(o.rounds):
        for old in WORK.glob("a.db*"):
            old.unlink()
        cpu, wall, rss = ship(path, store=f'sqlite: {{path: "{WORK}/a.db"}}')
        print(f"{n / (wall - 0.2):,.0f} activities/s, {n / cpu:,.0f} a CPU-second, {rss:.0f} MB")


def elasticsearch(o):
    """Each ships the same lines into a node on the same cores, from its start until the node has counted them all."""
    bench, all_of_them = harness(), contestants()
    names = o.names or [n for n in all_of_them if not n.startswith("ideal")]
    path, rows = lines_of(bench, o.lines), {n: [] for n in names}
    for round in range(o.rounds):
        for name in names:
            forget(o.url)
            seconds, used, stored = into(o.url, all_of_them[name], path, o.lines)
            if stored != o.lines:
                print(f"{name}: did not deliver: {stored:,} of {o.lines:,} lines are in the store", file=sys.stderr)
                continue
            rows[name].append((o.lines / seconds, used))
            print(f"round {round + 1}: {name} {o.lines / seconds:,.0f} lines/s", file=sys.stderr)
    forget(o.url)
    print(f"| {o.lines:,} lines, {o.rounds} rounds | lines/s | CPU-s of the shipper |\n|---|---|---|")
    for name, rs in rows.items():
        if rs:
            print(f"| {name} | {spread([r[0] for r in rs])} | {spread([r[1] for r in rs], 2)} |")


def ask(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return json.load(answer)


def forget(url):
    for index in ask(url + "/_cat/indices?format=json&h=index"):
        ask(f"{url}/{index['index']}", "DELETE")


def into(url, arguments, path, n):
    """Runs a contestant against a node. Returns the seconds until n documents were taken, the CPU-seconds of the shipper, and how many there are."""
    work = WORK / "real"
    for old in (work, IN_MEMORY):
        shutil.rmtree(old, ignore_errors=True)
    work.mkdir(parents=True)
    places = {"{WORK}": str(work), "{INPUT}": str(path), "{PORT}": str(urllib.parse.urlsplit(url).port)}
    fill = lambda text: re.sub("|".join(map(re.escape, places)), lambda m: places[m[0]], text)
    for flag, value in zip(arguments, arguments[1:]):
        if flag == "--config":
            (work / pathlib.Path(value).name).write_text(fill(pathlib.Path(value).read_text()))
    start = time.monotonic()
    p = subprocess.Popen(shlex.split(fill(arguments[arguments.index("--agent") + 1])), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while ask(url + "/_stats/indexing")["_all"]["primaries"].get("indexing", {}).get("index_total", 0) < n:
        if time.monotonic() - start > 300:
            break
        time.sleep(0.2)
    seconds = time.monotonic() - start
    used = end(p)
    ask(url + "/_refresh", "POST")
    return seconds, used.ru_utime + used.ru_stime, ask(url + "/_count")["count"]


def end(p):
    """Ends a process, with SIGKILL if it does not in ten seconds, and returns what it used."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        os.kill(p.pid, sig)
        for _ in range(100):
            pid, _, used = os.wait4(p.pid, os.WNOHANG)
            if pid:
                return used
            time.sleep(0.1)
    sys.exit(f"process {p.pid} does not end")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["table", "scaling", "sqlite", "elasticsearch"])
    p.add_argument("names", nargs="*")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--lines", type=int, default=500_000)
    p.add_argument("--gb", default="1,3,10")
    p.add_argument("--url", help="of a node for `elasticsearch`, whose indices are deleted")
    o = p.parse_intermixed_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if o.what == "elasticsearch" and not o.url:
        p.error("elasticsearch needs --url")
    {"table": table, "scaling": scaling, "sqlite": sqlite, "elasticsearch": elasticsearch}[o.what](o)


if __name__ == "__main__":
    main()
