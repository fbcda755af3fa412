//! A cluster of real processes on this machine: a coordinator, workers, at will an S3 server. What they say goes to files
//! in the test's folder, which are shown when something is not as it should be.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::s3::{Conditional, Server};
use crate::{Said, TestDir};

/// What has not happened by then does not happen.
pub const HANGS: Duration = Duration::from_secs(180);

/// The programs of a cluster.
#[derive(Clone, Copy)]
pub struct Programs {
    /// `env!("CARGO_BIN_EXE_coord")`
    pub coordinator: &'static str,
    /// `env!("CARGO_BIN_EXE_worker")`
    pub worker: &'static str,
}

/// A cluster. Dropped, it is killed.
pub struct Cluster {
    /// Its folder, with data sets and models.
    pub place: TestDir,
    /// The store's server, if it is S3.
    pub s3: Option<Server>,
    programs: Programs,
    /// The coordinator's host, as it stands in a URL.
    pub host: &'static str,
    port: u16,
    store: String,
    /// More variables of every process.
    pub env: Vec<(String, String)>,
    /// More arguments of every coordinator.
    pub serve: Vec<String>,
    /// More arguments of every worker.
    pub run: Vec<String>,
    /// More arguments of every user's command.
    pub user: Vec<String>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Where workers find the coordinator, if not where it is.
    pub through: Option<String>,
    coordinator: Option<Child>,
    workers: Vec<Option<Child>>,
    logs: usize,
}

impl Cluster {
    /// A coordinator's port and a local store; nothing runs yet.
    pub fn local(programs: Programs) -> Cluster {
        Cluster {
            place: TestDir::new(programs.coordinator),
            s3: None,
            programs,
            host: "127.0.0.1",
            port: free_port(),
            store: "store".to_owned(),
            env: Vec::new(),
            serve: Vec::new(),
            run: Vec::new(),
            user: Vec::new(),
            scheme: "http",
            through: None,
            coordinator: None,
            workers: Vec::new(),
            logs: 0,
        }
    }

    /// The same with a store in S3.
    pub fn in_s3(programs: Programs) -> Cluster {
        let mut cluster = Cluster::local(programs);
        cluster.s3 = Some(Server::start(&cluster.place.path("s3")));
        "s3://results/store".clone_into(&mut cluster.store);
        cluster
    }

    /// The same with an S3 whose conditional puts are others.
    pub fn in_odd_s3(programs: Programs, conditional: Conditional) -> Cluster {
        let mut cluster = Cluster::local(programs);
        cluster.s3 = Some(Server::start_odd(&cluster.place.path("s3"), conditional));
        "s3://results/store".clone_into(&mut cluster.store);
        cluster
    }

    /// The same with a store at an address, which is reached with these variables.
    pub fn at(programs: Programs, store: &str, env: Vec<(String, String)>) -> Cluster {
        let mut cluster = Cluster::local(programs);
        (cluster.store, cluster.env) = (store.to_owned(), env);
        cluster
    }

    /// The coordinator's address.
    pub fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }

    /// The coordinator's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn environment(&self, command: &mut Command) {
        command
            .env("DQA_STORE", &self.store)
            .env("RUST_LOG", "warn,dqa_coordinator=info,dqa_engine=info,dqa_worker=info");
        if let Some(s3) = &self.s3 {
            command.envs(s3.env());
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
    }

    fn log(&mut self, who: &str) -> File {
        self.logs += 1;
        let name = format!("log-{:03}-{who}.txt", self.logs);
        File::create(self.place.path(&name)).unwrap()
    }

    /// Starts the coordinator, on its port.
    pub fn start_coordinator(&mut self) {
        let log = self.log("coordinator");
        let listen = format!("{}:{}", self.host, self.port);
        let mut command = self.place.command(&["serve", "--listen", &listen]);
        self.environment(&mut command);
        command.args(&self.serve).stdout(Stdio::null()).stderr(log);
        self.coordinator = Some(command.spawn().unwrap());
    }

    /// The coordinator is gone without a word.
    pub fn kill_coordinator(&mut self) {
        let mut child = self.coordinator.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a worker, with what goes wrong in it; its number.
    pub fn start_worker(&mut self, faults: &[(&str, &str)]) -> usize {
        let log = self.log(&format!("worker{}", self.workers.len()));
        let mut command = self.place.command(&[]);
        let mut worker = Command::new(self.programs.worker);
        worker.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        for (name, value) in command.get_envs() {
            if value.is_none() {
                worker.env_remove(name);
            }
        }
        let folder = command.get_current_dir().unwrap();
        // Who is killed leaves what queries shuffled.
        worker.current_dir(folder).arg("run").arg("--work-dir").arg(folder);
        command = worker;
        self.environment(&mut command);
        let url = self.through.clone().unwrap_or_else(|| self.url());
        command.args(["--coordinator", &url, "--cache", "cache", "--threads", "1", "--query-tasks", "1"]);
        command.args(&self.run).envs(faults.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.workers.push(Some(command.spawn().unwrap()));
        self.workers.len() - 1
    }

    /// The worker is gone without a word.
    pub fn kill_worker(&mut self, number: usize) {
        if let Some(mut child) = self.workers[number].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The numbers of the workers that run.
    pub fn running(&mut self) -> Vec<usize> {
        (0..self.workers.len())
            .filter(|number| self.ended(*number).is_none() && self.workers[*number].is_some())
            .collect()
    }

    /// Sends a worker a signal.
    pub fn signal(&self, number: usize, signal: &str) {
        let id = self.workers[number].as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// How a worker ended, once it has.
    pub fn ended(&mut self, number: usize) -> Option<ExitStatus> {
        let status = self.workers[number].as_mut()?.try_wait().unwrap()?;
        self.workers[number] = None;
        Some(status)
    }

    /// Waits for a worker's end: its exit code, or its signal as a negative number.
    pub fn end_of(&mut self, number: usize) -> i32 {
        let mut end = None;
        let wait = Instant::now();
        while end.is_none() {
            assert!(wait.elapsed() < HANGS, "worker {number} goes on\n{}", self.said());
            end = self.ended(number);
            std::thread::sleep(Duration::from_millis(50));
        }
        let end = end.unwrap();
        end.code().unwrap_or_else(|| -end.signal().unwrap())
    }

    /// Starts another coordinator of the same store, on a port of its own: its process, to be ended, and its address.
    pub fn start_another(&mut self) -> (Child, String) {
        let log = self.log("another");
        let listen = format!("127.0.0.1:{}", free_port());
        let mut command = self.place.command(&["serve", "--listen", &listen]);
        self.environment(&mut command);
        (command.stdout(Stdio::null()).stderr(log).spawn().unwrap(), format!("http://{listen}"))
    }

    /// A user's command.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        self.environment(&mut command);
        command.env("RUST_LOG", "warn").args(&self.user).args(["--coordinator", &self.url()]);
        command
    }

    /// A user's command to its end.
    pub fn user(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().unwrap())
    }

    /// A command on the store itself.
    pub fn store(&self, arguments: &[&str]) -> Said {
        Said::of(&self.store_command(arguments).output().unwrap())
    }

    /// The same, not started.
    pub fn store_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        self.environment(&mut command);
        command.env("RUST_LOG", "warn");
        command
    }

    /// The arguments of a submit of `dataset` with the model.
    pub fn submit<'a>(&self, dataset: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        self.place.submit(dataset, more)
    }

    /// A run as the coordinator has it; None where it does not answer.
    pub fn run_now(&self, name: &str) -> Option<Value> {
        let said = self.user(&["status", name, "--format", "json"]);
        (said.code == 0 || said.code == 1).then(|| serde_json::from_str(said.out.trim()).ok()).flatten()
    }

    /// Waits until a run is so.
    pub fn wait_for(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let wait = Instant::now();
        let mut last = Value::Null;
        loop {
            if let Some(run) = self.run_now(name) {
                if is_so(&run) {
                    return run;
                }
                last = run;
            }
            assert!(wait.elapsed() < HANGS, "run {name} is {last}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until so many workers are there.
    pub fn wait_for_workers(&self, count: usize) {
        let wait = Instant::now();
        loop {
            let said = self.user(&["workers", "--format", "json"]);
            if said.code == 0 && said.out.lines().count() == count {
                return;
            }
            assert!(wait.elapsed() < HANGS, "not {count} workers:\n{}{}\n{}", said.out, said.err, self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The rows of a query of the store.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let said = self.store(&["query", sql, "--format", "json"]).ends_with(0);
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a worker has said.
    pub fn said_by(&self, number: usize) -> String {
        let name = format!("-worker{number}.txt");
        let logs = std::fs::read_dir(self.place.path("")).unwrap().map(|entry| entry.unwrap().path());
        let its = logs.filter(|path| path.to_string_lossy().ends_with(&name));
        its.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// All that the programs have said, with its files' names.
    pub fn said(&self) -> String {
        let mut logs: Vec<PathBuf> =
            std::fs::read_dir(self.place.path("")).unwrap().map(|e| e.unwrap().path()).collect();
        logs.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("log-"));
        logs.sort();
        let show = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            format!("--- {}\n{text}", path.file_name().unwrap().to_string_lossy())
        };
        logs.iter().map(show).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.workers.iter_mut().flatten().chain(&mut self.coordinator) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Of 127.0.0.1; nobody else is likely to take it before it is used.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
