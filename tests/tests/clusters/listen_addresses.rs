//! Clusters on IPv6 addresses, with and without certificates, and the errors of ports that cannot be opened or reached.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use dqa_tests::certificates::Authority;
use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{CommandOutput, TestDir};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// A free port of ::1; None where this machine has no IPv6, and then it says so.
fn free_port() -> Option<u16> {
    match TcpListener::bind(("::1", 0)) {
        Ok(listener) => Some(listener.local_addr().unwrap().port()),
        Err(error) => {
            eprintln!("skipped: this machine has no IPv6 loopback ({error})");
            None
        }
    }
}

/// A run and a query that shuffles, on a cluster that has IPv6 addresses only.
fn assert_scores_and_answers_on_ipv6(cluster: &mut Cluster) {
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.host = "[::1]";
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.worker_args.retain(|argument| argument != "--listen" && !argument.starts_with("[::1]:"));
    cluster.worker_args.extend([
        "--listen".to_owned(),
        "[::1]:0".to_owned(),
        "--advertise".to_owned(),
        "::1".to_owned(),
    ]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"])).exits_with(0);
    let sql = "SELECT algorithm, count(*) AS n, avg(score) AS mean FROM scores GROUP BY algorithm ORDER BY algorithm";
    let rows = |output: CommandOutput| {
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let ours = rows(cluster.run(&["query", sql, "--engine", "cluster", "--format", "json"]).exits_with(0));
    let theirs = rows(cluster.run_on_store(&["query", sql, "--format", "json"]).exits_with(0));
    assert_eq!(ours.len(), 2, "{ours:?}");
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!((&our["algorithm"], &our["n"]), (&their["algorithm"], &their["n"]));
        assert!((our["mean"].as_f64().unwrap() - their["mean"].as_f64().unwrap()).abs() < 1e-12);
    }
}

#[test]
fn a_cluster_of_ipv6_addresses_scores_and_answers() {
    let Some(port) = free_port() else { return };
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.worker_args = vec!["--listen".to_owned(), format!("[::1]:{port}")];
    assert_scores_and_answers_on_ipv6(&mut cluster);
    for port in [port, cluster.port()] {
        let mut stream = TcpStream::connect(("::1", port)).unwrap();
        stream
            .write_all(format!("GET /metrics HTTP/1.1\r\nHost: [::1]:{port}\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("dqa_"), "{answer}");
    }
}

#[test]
fn certificates_may_name_ipv6_addresses() {
    if free_port().is_none() {
        return;
    }
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.scheme = "https";
    let authority = Authority::new();
    let folder = cluster.dir.path("");
    let flags = |name: &str| authority.sign(&folder, name).flags();
    (cluster.serve_args, cluster.worker_args, cluster.user_args) =
        (flags("coordinator"), flags("worker"), flags("user"));
    cluster.worker_args.extend(["--listen".to_owned(), "[::1]:0".to_owned()]);
    assert_scores_and_answers_on_ipv6(&mut cluster);
}

fn worker(arguments: &[&str]) -> CommandOutput {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["run", "--coordinator", "http://127.0.0.1:1"]).args(arguments);
    CommandOutput::new(&command.output().unwrap())
}

#[test]
fn a_port_that_cannot_be_opened_is_reported_in_one_sentence() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let cache = dir.path("cache").display().to_string();
    let serve = |listen: &str| dir.run(&["serve", "--listen", listen, "--insecure"]).exits_with(2).stderr;
    let run = |listen: &str| worker(&["--cache", &cache, "--listen", listen, "--insecure"]).exits_with(2).stderr;
    for (listen, says, hint) in [
        (&*address, "another program has this port", "hint: give another port with --listen"),
        // Of the addresses for documentation: nobody has it.
        ("192.0.2.1:0", "it is not an address of this machine", "hint: --listen takes an address of this machine"),
    ] {
        for stderr in [serve(listen), run(listen)] {
            assert!(stderr.contains(&format!("error: cannot listen on {listen}: {says}")), "{stderr}");
            assert!(stderr.contains(hint), "{stderr}");
        }
    }
    for (listen, says) in [
        ("no-such-host.invalid:7070", "the host name `no-such-host.invalid` does not resolve"),
        ("127.0.0.1", "`127.0.0.1` is not a host with a port"),
        ("::1:7070", "`::1:7070` has an IPv6 address without brackets"),
    ] {
        for stderr in [serve(listen), run(listen)] {
            assert!(stderr.contains(says), "{stderr}");
        }
    }
    let advertised = worker(&["--advertise", "http://node-1"]).exits_with(2).stderr;
    assert!(advertised.contains("`http://node-1` is not a host"), "{advertised}");
}

#[test]
fn an_unreachable_coordinator_is_reported_with_the_cause() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let port = dqa_tests::cluster::free_port();
    let stderr = dir.run(&["runs", "--coordinator", &format!("http://127.0.0.1:{port}")]).exits_with(2).stderr;
    assert!(stderr.contains("cannot reach http"), "{stderr}");
    assert!(stderr.to_lowercase().contains("connection refused"), "{stderr}");
    let stderr = dir.run(&["runs", "--coordinator", "http://no-such-host.invalid:7070"]).exits_with(2).stderr;
    assert!(stderr.contains("no-such-host.invalid") || stderr.contains("lookup"), "{stderr}");
    let stderr = dir.run(&["runs", "--coordinator", "http://::1:7070"]).exits_with(2).stderr;
    assert!(stderr.contains("with an IPv6 address in brackets"), "{stderr}");
}
