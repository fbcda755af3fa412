//! A cluster of real processes on this machine: a coordinator, workers and, if the test asks for it, an S3 server. The
//! processes log to files in the test's folder; failed waits show these logs.

use std::cell::RefCell;
use std::fs::File;
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::s3::{ConditionalPuts, S3Server};
use crate::{CommandOutput, TestDir, poll_until, wait_until};

pub use crate::TIMEOUT;

/// The paths of the programs of a cluster.
#[derive(Clone, Copy)]
pub struct Programs {
    /// `env!("CARGO_BIN_EXE_coord")`
    pub coordinator: &'static str,
    /// `env!("CARGO_BIN_EXE_worker")`
    pub worker: &'static str,
}

/// A coordinator and its workers. They are killed when the cluster is dropped.
pub struct Cluster {
    /// The folder with data sets, models and logs.
    pub dir: TestDir,
    /// The server of the store if the store is in S3.
    pub s3: Option<S3Server>,
    programs: Programs,
    /// The coordinators' host as it is written in a URL.
    pub host: &'static str,
    store: String,
    /// Additional environment variables of every process.
    pub env: Vec<(String, String)>,
    /// Additional arguments of every coordinator.
    pub serve_args: Vec<String>,
    /// Additional arguments of every worker.
    pub worker_args: Vec<String>,
    /// Additional arguments of every user's command.
    pub user_args: Vec<String>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The URL at which workers reach the coordinator, if it differs from [`Cluster::url`].
    pub worker_url: Option<String>,
    /// The first one, and those that compete with it.
    coordinators: Vec<Coordinator>,
    workers: Vec<Option<Child>>,
    logs: usize,
}

/// A coordinator, which may be down.
struct Coordinator {
    port: u16,
    process: Option<Child>,
}

impl Coordinator {
    fn new() -> Coordinator {
        Coordinator { port: free_port(), process: None }
    }
}

impl Cluster {
    /// Prepares a cluster with a local store; no process is started.
    pub fn local(programs: Programs) -> Cluster {
        Cluster {
            dir: TestDir::new(programs.coordinator),
            s3: None,
            programs,
            host: "127.0.0.1",
            store: "store".to_owned(),
            env: Vec::new(),
            serve_args: Vec::new(),
            worker_args: Vec::new(),
            user_args: Vec::new(),
            scheme: "http",
            worker_url: None,
            coordinators: vec![Coordinator::new()],
            workers: Vec::new(),
            logs: 0,
        }
    }

    /// Prepares a cluster with a store in S3.
    pub fn with_s3(programs: Programs) -> Cluster {
        let mut cluster = Cluster::local(programs);
        cluster.s3 = Some(S3Server::start(&cluster.dir.path("s3")));
        "s3://results/store".clone_into(&mut cluster.store);
        cluster
    }

    /// Prepares a cluster with a store in S3 whose server handles conditional puts as given.
    pub fn with_conditional_puts(programs: Programs, conditional: ConditionalPuts) -> Cluster {
        let mut cluster = Cluster::local(programs);
        cluster.s3 = Some(S3Server::start_with(&cluster.dir.path("s3"), conditional));
        "s3://results/store".clone_into(&mut cluster.store);
        cluster
    }

    /// Prepares a cluster with a store at the given URL, which is accessed with the variables `env`.
    pub fn with_store(programs: Programs, store: &str, env: Vec<(String, String)>) -> Cluster {
        let mut cluster = Cluster::local(programs);
        (cluster.store, cluster.env) = (store.to_owned(), env);
        cluster
    }

    /// Returns the URL of the first coordinator.
    pub fn url(&self) -> String {
        self.coordinator_url(0)
    }

    /// Returns the URL of a coordinator.
    pub fn coordinator_url(&self, number: usize) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.coordinators[number].port)
    }

    /// Returns the port of the first coordinator.
    pub fn port(&self) -> u16 {
        self.coordinators[0].port
    }

    fn set_env(&self, command: &mut Command) {
        command
            .env("DQA_STORE", &self.store)
            .env("RUST_LOG", "warn,dqa_coordinator=info,dqa_engine=info,dqa_worker=info");
        if let Some(s3) = &self.s3 {
            command.envs(s3.env());
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
    }

    fn create_log(&mut self, process: &str) -> File {
        self.logs += 1;
        let name = format!("log-{:03}-{process}.txt", self.logs);
        File::create(self.dir.path(&name)).unwrap()
    }

    /// Starts the first coordinator on its port.
    pub fn start_coordinator(&mut self) {
        self.start_coordinator_number(0);
    }

    /// Kills the first coordinator (SIGKILL).
    pub fn kill_coordinator(&mut self) {
        self.kill_coordinator_number(0);
    }

    /// Adds a coordinator of the same store, on a port of its own, and returns its number. It is not started.
    pub fn add_coordinator(&mut self) -> usize {
        self.coordinators.push(Coordinator::new());
        self.coordinators.len() - 1
    }

    /// Starts a coordinator on its port.
    pub fn start_coordinator_number(&mut self, number: usize) {
        let log = self.create_log(&format!("coordinator{number}"));
        let listen = format!("{}:{}", self.host, self.coordinators[number].port);
        let mut command = self.dir.command(&["serve", "--listen", &listen]);
        self.set_env(&mut command);
        command.args(&self.serve_args).stdout(Stdio::null()).stderr(log);
        self.coordinators[number].process = Some(command.spawn().unwrap());
    }

    /// Kills a coordinator (SIGKILL).
    pub fn kill_coordinator_number(&mut self, number: usize) {
        let mut process = self.coordinators[number].process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts a worker with the given faults (`FAULT_*` variables), and returns its number.
    pub fn start_worker(&mut self, faults: &[(&str, &str)]) -> usize {
        let log = self.create_log(&format!("worker{}", self.workers.len()));
        let mut command = self.dir.command(&[]);
        let mut worker = Command::new(self.programs.worker);
        worker.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        for (name, value) in command.get_envs() {
            if value.is_none() {
                worker.env_remove(name);
            }
        }
        let folder = command.get_current_dir().unwrap();
        // A killed worker leaves the shuffle files of its queries: they belong in the test's folder.
        worker.current_dir(folder).arg("run").arg("--work-dir").arg(folder);
        command = worker;
        self.set_env(&mut command);
        let url = self.worker_url.clone().unwrap_or_else(|| self.url());
        command.args(["--coordinator", &url, "--cache", "cache", "--threads", "1", "--query-tasks", "1"]);
        command.args(&self.worker_args).envs(faults.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.workers.push(Some(command.spawn().unwrap()));
        self.workers.len() - 1
    }

    /// Kills a worker (SIGKILL).
    pub fn kill_worker(&mut self, number: usize) {
        if let Some(mut child) = self.workers[number].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Returns the numbers of the workers whose processes run.
    pub fn running_workers(&mut self) -> Vec<usize> {
        (0..self.workers.len())
            .filter(|number| self.exit_status(*number).is_none() && self.workers[*number].is_some())
            .collect()
    }

    /// Sends a signal to a worker.
    pub fn signal(&self, number: usize, signal: &str) {
        let id = self.workers[number].as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Returns the exit status of a worker if it has ended.
    pub fn exit_status(&mut self, number: usize) -> Option<ExitStatus> {
        let status = self.workers[number].as_mut()?.try_wait().unwrap()?;
        self.workers[number] = None;
        Some(status)
    }

    /// Waits until a worker ends. Returns its exit code, or the number of its signal negated.
    pub fn wait_for_exit(&mut self, number: usize) -> i32 {
        let folder = self.dir.path("");
        let describe = || format!("worker {number} has not ended\n{}", logs_in(&folder));
        let end = poll_until(TIMEOUT, describe, || self.exit_status(number));
        end.code().unwrap_or_else(|| -end.signal().unwrap())
    }

    /// Returns a user's command to the first coordinator.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_to(0, arguments)
    }

    fn command_to(&self, coordinator: usize, arguments: &[&str]) -> Command {
        let mut command = self.store_command(arguments);
        command.args(&self.user_args).args(["--coordinator", &self.coordinator_url(coordinator)]);
        command
    }

    /// Runs a user's command to the first coordinator to its end.
    pub fn run(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::new(&self.command(arguments).output().unwrap())
    }

    /// Runs a user's command to the coordinator that leads to its end. None: none leads, or it is not reached.
    pub fn run_on_leader(&self, arguments: &[&str]) -> Option<CommandOutput> {
        let run = |number| CommandOutput::new(&self.command_to(number, arguments).output().unwrap());
        (0..self.coordinators.len()).map(run).find(|output| output.code != 2)
    }

    /// Runs a command that accesses the store directly.
    pub fn run_on_store(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::new(&self.store_command(arguments).output().unwrap())
    }

    /// Returns a command that accesses the store directly.
    pub fn store_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.dir.command(arguments);
        self.set_env(&mut command);
        command.env("RUST_LOG", "warn");
        command
    }

    /// Returns the arguments that submit `dataset` with the model, followed by `more`.
    pub fn submit<'a>(&self, dataset: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        self.dir.submit(dataset, more)
    }

    /// Returns the status of a run as the coordinator reports it, or None if it does not answer.
    pub fn run_status(&self, name: &str) -> Option<Value> {
        let output = self.run_on_leader(&["status", name, "--format", "json"])?;
        serde_json::from_str(output.stdout.trim()).ok()
    }

    /// Waits until the status of a run satisfies `condition`, and returns the status.
    pub fn wait_for_run(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let last = RefCell::new(Value::Null);
        poll_until(
            TIMEOUT,
            || format!("run {name} is {}\n{}", last.borrow(), self.logs()),
            || {
                let run = self.run_status(name)?;
                last.replace(run.clone());
                condition(&run).then_some(run)
            },
        )
    }

    /// Waits until the coordinator lists exactly `count` workers.
    pub fn wait_for_workers(&self, count: usize) {
        let list = || self.run(&["workers", "--format", "json"]);
        let describe = || {
            let CommandOutput { stdout, stderr, .. } = list();
            format!("expected {count} workers, found:\n{stdout}{stderr}\n{}", self.logs())
        };
        wait_until(TIMEOUT, describe, || {
            let output = list();
            output.code == 0 && output.stdout.lines().count() == count
        });
    }

    /// Waits until no worker runs a shard.
    pub fn wait_for_idle_workers(&self) {
        self.wait_for_each_worker("idle", Vec::is_empty);
    }

    /// Waits until every worker runs at least one shard.
    pub fn wait_for_busy_workers(&self) {
        self.wait_for_each_worker("busy", |running| !running.is_empty());
    }

    fn wait_for_each_worker(&self, state: &str, condition: impl Fn(&Vec<Value>) -> bool) {
        let list = || self.run(&["workers", "--format", "json"]).exits_with(0);
        let describe = || format!("workers are not {state}: {}\n{}", list().stdout, self.logs());
        wait_until(TIMEOUT, describe, || {
            list().json_lines().iter().all(|worker| worker["running"].as_array().is_some_and(&condition))
        });
    }

    /// Returns the rows of a query that reads the store directly.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        self.run_on_store(&["query", sql, "--format", "json"]).exits_with(0).json_lines()
    }

    /// Returns the log of a worker.
    pub fn worker_log(&self, number: usize) -> String {
        let name = format!("-worker{number}.txt");
        let logs = std::fs::read_dir(self.dir.path("")).unwrap().map(|entry| entry.unwrap().path());
        let worker_logs = logs.filter(|path| path.to_string_lossy().ends_with(&name));
        worker_logs.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// Returns the logs of all processes, each under the name of its file.
    pub fn logs(&self) -> String {
        logs_in(&self.dir.path(""))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let coordinators = self.coordinators.iter_mut().filter_map(|coordinator| coordinator.process.as_mut());
        for child in self.workers.iter_mut().flatten().chain(coordinators) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that the system gives to nobody who does not ask for them: a connection, or a server on port 0, would take one before it
/// is used.
const OWN_PORTS: Range<u16> = 10_240..32_768;

/// Returns a free port of 127.0.0.1 that this process returns once. Test programs that run side by side begin at other ports.
pub fn free_port() -> u16 {
    static RETURNED: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(257);
    loop {
        let number = begin.wrapping_add(RETURNED.fetch_add(1, Ordering::Relaxed));
        let port = OWN_PORTS.start + (number % OWN_PORTS.len() as u32) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn logs_in(folder: &Path) -> String {
    let mut logs: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("log-"));
    logs.sort();
    let show = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        format!("--- {}\n{text}", path.file_name().unwrap().to_string_lossy())
    };
    logs.iter().map(show).collect()
}
