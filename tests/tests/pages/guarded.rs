//! A coordinator whose pages ask for a token.

use dqa_tests::cluster::Cluster;

use crate::{PROGRAMS, make_pictures, wait_for_port};

/// The users' token.
pub(crate) const USERS: &str = "the-users-secret-token-0123";

/// The workers' token, with which nobody signs in.
pub(crate) const WORKERS: &str = "the-workers-secret-token-45";

/// The name of a complete run. No style sheet or script has it.
pub(crate) const DONE: &str = "run-done-7";

/// The name of a run that waits for a worker.
pub(crate) const WAITING: &str = "run-waiting-7";

/// What pages without a session must not have: names and addresses of the store.
pub(crate) const SECRETS: [&str; 6] = [DONE, WAITING, "dcp", "entropy", "file:", "demo"];

/// Starts a coordinator with tokens. Of its store's runs [`DONE`] is complete, and [`WAITING`] waits for a worker.
pub(crate) fn guarded() -> Cluster {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.file("users.token", USERS.as_bytes());
    cluster.dir.file("workers.token", WORKERS.as_bytes());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    cluster.serve_args = words(&["--token-file", "users.token", "--worker-token-file", "workers.token"]);
    cluster.worker_args = words(&["--token-file", "workers.token"]);
    cluster.user_args = words(&["--token-file", "users.token"]);
    make_pictures(&cluster.dir);
    cluster
        .run_on_store(&["submit", "--datasets", "demo/demo.toml", "--metrics", "entropy", "--name", DONE])
        .exits_with(0);
    cluster.start_coordinator();
    wait_for_port(cluster.port());
    let submit = cluster.submit("demo/demo.toml", &["--name", WAITING, "--detach"]);
    cluster.run(&submit).exits_with(0);
    cluster.wait_for_run(WAITING, |run| run["state"] == "running");
    cluster
}
