from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from bemsweep.cluster_file import Coiled, Local, Range, Scheduler, Slurm, read_cluster
from bemsweep.cores import usable_cores
from bemsweep.errors import ClusterFileError

CONFIGS = Path(__file__).parent.parent / "cluster-configs"
COILED = "cluster: coiled\nworkers: 4\nvm_types: [c7a.large]\n"
SLURM = "cluster: slurm\njobs: 2\ncores: 8\nmemory: 8 GiB\nwalltime: 02:00:00\n"


@pytest.fixture
def read(tmp_path):
    def read(text, **how):
        path = tmp_path / "cluster.yaml"
        path.write_text(text)
        return read_cluster(path, **how)

    return read


@pytest.fixture
def told(read):
    def told(text, **how):
        with pytest.raises(ClusterFileError) as caught:
            read(text, **how)
        return [str(problem) for problem in caught.value.problems]

    return told


# What a file says


def test_a_local_cluster_has_all_cores_unless_it_says_less(read):
    assert read("cluster: local\n") == Local()
    assert Local().threads_at_once == Range(min=usable_cores(), max=usable_cores())
    two = read("cluster: local\nprocesses: 2\nthreads: 6\n")
    assert (two.threads_each, two.threads_at_once.max) == (3, 6)


def test_paths_of_certificates_start_from_the_files_folder(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = "cluster: scheduler\naddress: tls://localhost:8786\ntls: {ca: tls/ca.pem, cert: /etc/c.pem, key: ~/k.pem}\n"
    config = read(text)
    assert isinstance(config, Scheduler)
    assert config.tls is not None
    assert [config.tls.ca, config.tls.cert, config.tls.key] == [
        tmp_path / "tls" / "ca.pem",
        Path("/etc/c.pem"),
        tmp_path / "home" / "k.pem",
    ]
    assert config.threads_at_once is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("", ("4", 2, "8", True)),
        ("spot: false\nthreads: 1\n", ("4", 1, "4", False)),
        ("spot: true\n", ("4", 2, "8", True)),
    ],
)
def test_threads_of_virtual_machines_are_their_cpus_unless_the_file_says_so(read, changes, expected):
    config = read(COILED + changes)
    assert isinstance(config, Coiled)
    each = config.threads_each
    assert (str(config.workers), each, str(config.threads_at_once), config.is_spot) == expected


def test_a_cluster_may_follow_the_work(read):
    config = read(COILED.replace("workers: 4", "workers: {min: 0, max: 40}").replace("c7a.large", "c7a.xlarge"))
    assert str(config.threads_at_once) == "0 to 160"


def test_slurm_runs_an_engine_on_each_core(read):
    config = read(SLURM + "scratch: $TMPDIR\npartition: short,long\naccount: p-1\ninterface: ib0\n")
    assert isinstance(config, Slurm)
    assert (config.memory, config.threads_at_once) == (8 * 2**30, Range(min=16, max=16))
    assert (config.walltime, config.scratch, config.partition) == ("02:00:00", "$TMPDIR", "short,long")


# What is wrong with one


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["holds no mapping of cluster"]),
        ("cluster: slrum\n", ["one of them is needed, not 'slrum' (did you mean 'slurm'?) @ cluster, line 1"]),
        ("workers: 3\n", ["one of them is needed, not None @ cluster, line 1"]),
        ("a: [\n", ["not YAML"]),
        ("cluster: local\ncluster: slurm\n", ["'cluster' is given twice"]),
        (
            "cluster: local\ntreads: 2\nprocesses: 0\n",
            ["unknown key 'treads' (did you mean 'threads'?) @ treads, line 2", "processes, line 3"],
        ),
        ("cluster: local\nprocesses: 2\nthreads: 3\n", ["3 threads cannot be shared evenly by 2 processes"]),
        ("cluster: local\nthreads: many\n", ["this takes a whole number, not 'many' @ threads, line 2"]),
        ("cluster: scheduler\naddress: 10.0.0.1:8786\n", ["'10.0.0.1:8786' is no address of a scheduler"]),
        (
            "cluster: scheduler\naddress: tcp://localhost:1\ntls:\n  ca: a\n  cret: b\n  key: c\n",
            ["'cert' is missing @ tls.cert, line 3", "unknown key 'cret' (did you mean 'cert'?) @ tls.cret, line 5"],
        ),
        (
            "cluster: scheduler\naddress: tcp://localhost:1\ntls: {ca: a, cert: b, key: c}\n",
            ["tcp://localhost:1 speaks without TLS: write tls://localhost:1 @ tls, line 3"],
        ),
        (
            COILED.replace("workers: 4", "workers: {min: 5, max: 2}"),
            ["max is 2, less than min, 5 @ workers.max, line 2"],
        ),
        (COILED.replace("4", "0"), ["0 is too few"]),
        (COILED.replace("4", "some"), ["this takes a number or {min: 2, max: 20}, not 'some'"]),
        (COILED.replace("4", "{min: 2, mx: 3}"), ["'max' is missing", "unknown key 'mx' (did you mean 'max'?)"]),
        (COILED.replace("c7a", "c7g"), ["c7g.large have ARM processors"]),
        (COILED.replace("c7a.large", "c7a.large, c7a.xlarge"), ["say how many `threads` each worker has"]),
        (COILED.replace("c7a.large", "other"), ["say how many `threads` each worker has"]),
        (COILED + "idle_timeout: 20\n", ["this takes a text, not 20 @ idle_timeout, line 4"]),
        (COILED + "idle_timeout: soon\n", ["'soon' is no duration: write 30 minutes or 2 hours"]),
        (COILED + "spot: 1\n", ["1 is none of false, true and with_fallback"]),
        (COILED + "spot: maybe\n", ["'maybe' is none of false, true and with_fallback @ spot, line 4"]),
        (SLURM + "memory_limit: 8\n", ["unknown key 'memory_limit' (did you mean 'memory'?)"]),
        (SLURM.replace("8 GiB", "8"), ["no worker fits into 8, which is 8 bytes: write 8 GiB, say @ memory, line 4"]),
        (SLURM.replace("8 GiB", "lots"), ["'lots' is no size"]),
        (SLURM.replace("02:00:00", "2 hours"), ["'2 hours' is no time limit of Slurm"]),
        (SLURM + "partition: a b\n", ["'a b' is no name"]),
        (SLURM + "scratch: $(mkdir ran)\n", ["is no folder"]),
        (SLURM + "account: 'a\n\n  rm -rf x'\n", ["is no name"]),
    ],
)
def test_every_problem_is_told_with_its_line_and_the_nearest_name(told, text, messages):
    found = told(text)
    assert len(found) == len(messages)
    for line, message in zip(found, messages, strict=True):
        assert message in line


def test_the_error_counts_and_can_be_pickled(tmp_path):
    with pytest.raises(ClusterFileError, match="cannot read the cluster file") as caught:
        read_cluster(tmp_path / "none.yaml")
    assert str(caught.value).startswith("the cluster file has 1 problem:")
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(ClusterFileError, match="not encoded as UTF-8"):
        read_cluster(tmp_path / "x")


# Credentials and code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (COILED + "token: hunter2hunter2\n", "'token' is a credential, which no cluster file may hold: `coiled login`"),
        (COILED + "tags: {api_key: hunter2hunter2}\n", "'api_key' is a credential"),
        (COILED + "send_env: {AWS_SECRET_ACCESS_KEY: hunter2hunter2}\n", "'AWS_SECRET_ACCESS_KEY' is a credential"),
        (COILED + "send_env: [AWS_SECRET_ACCESS_KEY=hunter2hunter2]\n", "names of variables"),
        (SLURM + "setup: [export AWS_SECRET_ACCESS_KEY=hunter2hunter2]\n", "'AWS_SECRET_ACCESS_KEY' is a credential"),
        ("cluster: scheduler\naddress: tls://me:hunter2hunter2@localhost:1\n", "is no address"),
        (
            "cluster: scheduler\naddress: tls://localhost:1\ntls: {ca: a, cert: b, key: '-----BEGIN hunter2hunter2'}\n",
            "this takes the path of a file, not what is in it",
        ),
    ],
)
def test_what_looks_like_a_credential_is_refused_and_not_shown(told, text, message):
    found = told(text, allow_python=True)
    assert message in found[0]
    assert "hunter2" not in "\n".join(found)


def test_names_of_variables_are_no_credentials(read):
    assert read(COILED + "send_env: [AWS_SECRET_ACCESS_KEY]\n").send_env == ["AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SLURM + "setup: [module load gcc]\n", "setup runs code on the nodes: look at it, then give --allow-python"),
        ("cluster: scheduler\naddress: tls://10.0.0.7:8786\n", "who runs the scheduler tls://10.0.0.7:8786 can run"),
        ("cluster: scheduler\naddress: tcp://localhost.example.org:8786\n", "can run code here"),
    ],
)
def test_what_would_run_code_is_refused_until_it_is_allowed(told, read, text, message):
    assert message in told(text)[0]
    assert read(text, allow_python=True)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_scheduler_of_this_machine_needs_no_leave(read, host):
    assert read(f"cluster: scheduler\naddress: tcp://{host}:8786\n")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_file_of_the_folder_can_be_used_as_it_is_and_with_what_its_comments_offer(path, read):
    config = read_cluster(path)
    assert path.name.startswith(config.cluster)
    offered = re.sub(r"^# (?=\w+: )", "", path.read_text(), flags=re.MULTILINE)
    fuller = read(offered, allow_python=True)
    assert len(fuller.model_fields_set) == len(re.findall(r"^(# )?\w+: ", path.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize(
    "kind", ["cluster: local\n", "cluster: scheduler\naddress: tcp://localhost:1\n", COILED, SLURM]
)
def test_any_cluster_may_have_a_price(read, kind):
    assert read(kind).price_per_hour is None
    assert read(kind + "price_per_hour: 0.12\n").price_per_hour == 0.12
    assert read(kind + "price_per_hour: 1\n").price_per_hour == 1.0
    for text in ("0", "-1", "free", "true", ".inf", ".nan"):
        with pytest.raises(ClusterFileError, match="price_per_hour takes USD, more than 0"):
            read(f"{kind}price_per_hour: {text}\n")
