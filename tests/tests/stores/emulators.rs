//! Stores on third-party emulators: Azurite for az://, moto's server for s3://, s3s-fs as Google's XML API for gs://, and
//! gcp-storage-emulator. A test prints that it is skipped if its emulator is not installed; `.ci/run` installs them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use dqa_tests::cluster::{Cluster, Programs, TIMEOUT, free_port};
use dqa_tests::s3::S3Server;
use dqa_tests::wait_until;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// For everything in the blobs of Azurite's one account, whose key is public, until the year 2100.
const AZURITE_SIGNATURE: &str = "sv=2018-11-09&ss=b&srt=sco&sp=rwdlac&se=2100-01-01T00%3A00%3A00Z&spr=https%2Chttp&\
    sig=GC%2BChk%2Ffr2kGYxbx3ScPyFgz5bjf1gcFtmNtRsA6N6U%3D";

/// A server's process. Dropped, it is killed.
struct Emulator {
    process: Child,
    port: u16,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the program that a variable names, or prints that the test is skipped if it names none.
fn program(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        eprintln!("skipped: {variable} names no program");
    }
    path
}

impl Emulator {
    /// Starts a program, and waits until its port answers.
    fn start(program: PathBuf, arguments: impl Fn(&str) -> Vec<String>) -> Emulator {
        let port = free_port();
        let mut command = Command::new(program);
        command.args(arguments(&port.to_string())).current_dir(std::env::temp_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let emulator = Emulator { process: command.spawn().unwrap(), port };
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        wait_until(TIMEOUT, || format!("the emulator does not listen on port {port}"), listens);
        emulator
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Creates a bucket or a container.
    fn make(&self, path: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = format!("127.0.0.1:{}", self.port);
        write!(stream, "PUT {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }
}

fn moto() -> Option<Emulator> {
    let arguments = |port: &str| ["-H", "127.0.0.1", "-p", port].map(str::to_owned).to_vec();
    let moto = Emulator::start(program("DQA_MOTO")?, arguments);
    moto.make("/results");
    Some(moto)
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Submit in one process, another algorithm, a cluster of two workers of which one is killed, and queries by both engines.
fn everything(mut cluster: Cluster) {
    let count = |cluster: &Cluster| cluster.query("SELECT * FROM scores WHERE score IS NOT NULL").len();
    cluster.dir.haze(&["dcp"]);
    let arguments = cluster.submit("haze.toml", &["--name", "r", "--shard-windows", "1"]);
    // Killed when the first part is there, it goes on.
    let mut first = cluster.store_command(&arguments);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while first.try_wait().unwrap().is_none() && cluster.run_on_store(&["status", "r"]).code == 2 {
        assert!(started.elapsed() < TIMEOUT);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    cluster.run_on_store(&arguments).exits_with(0);
    assert_eq!(count(&cluster), 3);
    let again = cluster.run_on_store(&arguments).exits_with(0);
    assert!(again.stderr.contains("nothing to score"), "{}", again.stderr);

    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    let killed = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "500")]);
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "100")]);
    cluster.wait_for_workers(2);
    let arguments = cluster.submit("haze.toml", &["--name", "c", "--shard-windows", "1"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    cluster.kill_worker(killed);
    cluster.wait_for_run("c", |run| run["state"] == "complete");
    assert_eq!(count(&cluster), 6, "{}", cluster.logs());
    let sql = "SELECT algorithm, count(*) AS n FROM scores GROUP BY 1 ORDER BY 1";
    let by_workers = cluster.run(&["query", sql, "--engine", "cluster", "--format", "csv"]).exits_with(0);
    assert_eq!(by_workers.stdout, "algorithm,n\naod,3\ndcp,3\n");
}

#[test]
fn s3_of_moto_holds_a_run_and_a_cluster() {
    let Some(moto) = moto() else { return };
    let keys = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_ALLOW_HTTP", "true")];
    let endpoint = moto.url();
    let variables = [&keys[..], &[("AWS_ENDPOINT", endpoint.as_str())]].concat();
    everything(Cluster::with_store(PROGRAMS, "s3://results/store", env(&variables)));
}

/// Google's XML API is S3's, without Google's conditions: of a server that anybody may use.
#[test]
fn gs_by_xml_holds_a_run_and_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("results")).unwrap();
    let server = S3Server::start_unsigned(folder.path());
    let endpoint = format!("http://{}", server.address());
    let variables = [("GOOGLE_BASE_URL", endpoint.as_str()), ("GOOGLE_SKIP_SIGNATURE", "true")];
    everything(Cluster::with_store(PROGRAMS, "gs://results/store", env(&variables)));
}

#[test]
fn az_of_azurite_holds_a_run_and_a_cluster() {
    let Some(program) = program("DQA_AZURITE") else { return };
    let usual = ["--inMemoryPersistence", "--disableTelemetry", "--silent", "--blobHost", "127.0.0.1", "--blobPort"];
    let azurite = Emulator::start(program, |port| usual.iter().copied().chain([port]).map(str::to_owned).collect());
    azurite.make(&format!("/devstoreaccount1/results?restype=container&{AZURITE_SIGNATURE}"));
    let variables = [("AZURE_STORAGE_USE_EMULATOR", "true"), ("AZURITE_BLOB_STORAGE_URL", &azurite.url())];
    everything(Cluster::with_store(PROGRAMS, "az://results/store", env(&variables)));
}

/// It lists by Google's JSON alone: that is said.
#[test]
fn gs_of_gcp_storage_emulator_is_told_apart() {
    let Some(program) = program("DQA_GCS_EMULATOR") else { return };
    let usual = ["start", "--host=127.0.0.1", "--in-memory", "--default-bucket=results"];
    let emulator = Emulator::start(program, |port| {
        usual.iter().map(|text| (*text).to_owned()).chain([format!("--port={port}")]).collect()
    });
    let variables = [("GOOGLE_BASE_URL", &*emulator.url()), ("GOOGLE_SKIP_SIGNATURE", "true")];
    let cluster = Cluster::with_store(PROGRAMS, "gs://results/store", env(&variables));
    let output = cluster.run_on_store(&["runs"]).exits_with(2);
    assert!(
        output.stderr.contains("does not support this operation") && output.stderr.contains("GOOGLE_BASE_URL"),
        "{}",
        output.stderr
    );
}
