//! Misconfigured, refusing and limited stores: the error names the cause and a hint at once, and leader election works
//! without conditional puts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use dqa_tests::cluster::{Cluster, Programs, TIMEOUT};
use dqa_tests::s3::{ConditionalPuts, S3Server};
use dqa_tests::{CommandOutput, TestDir, wait_until};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// An access key and a secret that no message may show.
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAHIDDEN"), ("AWS_SECRET_ACCESS_KEY", "hidden-secret")];

/// Answers every request alike.
fn serve_fixed_response(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 8192]);
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        }
    });
    address
}

/// The runs of a store, with these variables and no others that stores read.
fn runs(dir: &TestDir, store: &str, variables: &[(&str, &str)]) -> CommandOutput {
    let mut command = dir.command(&["runs"]);
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env("DQA_STORE", store).env("HOME", dir.path("")).envs(variables.iter().copied());
    CommandOutput::new(&command.output().unwrap())
}

#[test]
fn store_errors_name_the_cause_and_a_hint() {
    let dir = TestDir::new(PROGRAMS.coordinator);
    let closed = format!("http://127.0.0.1:{}", dqa_tests::cluster::free_port());
    let region = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong</Message>\
        <Region>eu-central-1</Region></Error>";
    let key = "<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message><AWSAccessKeyId>AKIAHIDDEN</AWSAccessKeyId></Error>";
    let secret = "<Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message><StringToSign>AKIAHIDDEN</StringToSign></Error>";
    let clock = "<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message><ServerTime>2026-01-01T00:00:00Z</ServerTime></Error>";
    let bucket = "<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>";
    let container = "<Error><Code>ContainerNotFound</Code><Message>no such container</Message></Error>";
    let allow = ("AWS_ALLOW_HTTP", "true");
    let at = |endpoint: String| [KEYS[0], KEYS[1], allow, ("AWS_ENDPOINT", endpoint.leak())].to_vec();
    let azure = |endpoint: String| {
        let key = ("AZURE_STORAGE_ACCOUNT_KEY", "aGlkZGVuLXNlY3JldA==");
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
            key,
            ("AZURE_ALLOW_HTTP", "1"),
            ("AZURE_STORAGE_ENDPOINT", endpoint.leak()),
        ]
        .to_vec()
    };
    #[allow(clippy::type_complexity)] // an address, variables, and what is said
    let cases: Vec<(&str, Vec<(&str, &str)>, [&str; 2])> = vec![
        (
            "s3://b/x",
            vec![("AWS_METADATA_ENDPOINT", closed.clone().leak())],
            ["AWS_ACCESS_KEY_ID and", "AWS_SKIP_SIGNATURE=true"],
        ),
        ("s3://b/x", vec![("AWS_PROFILE", "work")], ["does not read ~/.aws", "aws configure export-credentials"]),
        (
            "s3://b/x",
            vec![KEYS[0], KEYS[1], ("AWS_ENDPOINT", "http://h:1")],
            ["AWS_ALLOW_HTTP is not set", "export AWS_ALLOW_HTTP"],
        ),
        ("s3://b/x", at(closed), ["does not answer", "AWS_ENDPOINT says where"]),
        (
            "s3://b/x",
            at(serve_fixed_response("400 Bad Request", region)),
            ["region `eu-central-1`", "export AWS_REGION=eu-central-1"],
        ),
        (
            "s3://b/x",
            at(serve_fixed_response("403 Forbidden", key)),
            ["does not know the key in AWS_ACCESS_KEY_ID", "AWS_ENDPOINT"],
        ),
        (
            "s3://b/x",
            at(serve_fixed_response("403 Forbidden", secret)),
            ["AWS_SECRET_ACCESS_KEY is not the secret", "key"],
        ),
        ("s3://b/x", at(serve_fixed_response("403 Forbidden", clock)), ["clock", "timedatectl"]),
        (
            "s3://b/x",
            at(serve_fixed_response("404 Not Found", bucket)),
            ["the bucket `b` does not exist", "create the bucket"],
        ),
        (
            "gs://b/x",
            vec![("GOOGLE_APPLICATION_CREDENTIALS", "/none.json")],
            ["GOOGLE_APPLICATION_CREDENTIALS names a file", "No such file"],
        ),
        ("az://b/x", vec![], ["AZURE_STORAGE_ACCOUNT_NAME is not set", "export AZURE_STORAGE_ACCOUNT_NAME"]),
        (
            "az://b/x",
            azure(serve_fixed_response("404 Not Found", container)),
            ["the container `b` does not exist", "create the container"],
        ),
    ];
    let mut shown = String::new();
    for (store, variables, says) in cases {
        let output = runs(&dir, store, &variables).exits_with(2);
        for text in says {
            assert!(output.stderr.contains(text), "{variables:?}: no `{text}` in\n{}", output.stderr);
        }
        assert!(!output.stderr.contains("AKIAHIDDEN") && !output.stderr.contains("hidden-secret"), "{}", output.stderr);
        assert!(output.stdout.is_empty(), "{}", output.stdout);
        shown += &format!("{store}\n{}\n", output.stderr);
    }
    println!("{shown}");
}

#[test]
fn variables_of_other_programs_break_nothing() {
    use std::os::unix::ffi::OsStringExt;
    let dir = TestDir::new(PROGRAMS.coordinator);
    dir.haze(&["dcp"]);
    let s3 = S3Server::start(&dir.path("s3"));
    let mut command = dir.command(&dir.submit("haze.toml", &["--name", "r"]));
    command.env("DQA_STORE", "s3://results/store").envs(s3.env());
    command.env("TOKEN", "of-another").env("REGION", "elsewhere").env("ENDPOINT", "http://127.0.0.1:1");
    command
        .env("OTHER", std::ffi::OsString::from_vec(vec![0xff]))
        .env("AWS_PAGER", std::ffi::OsString::from_vec(vec![0xff]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Two coordinators of a store that does not decide between them: one leads and scores, the other stands by, and both say why.
fn assert_one_of_two_leads(mut cluster: Cluster, says: &str) {
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    let second = cluster.add_coordinator();
    cluster.start_coordinator_number(second);
    let address = cluster.coordinator_url(second);
    let stands_by = || {
        let output = cluster.run_on_store(&["runs", "--coordinator", &address]);
        assert!(output.code != 0, "the second coordinator leads too\n{}\n{}", output.stderr, cluster.logs());
        let has = |text: &str| output.stderr.contains(text);
        has("stands by") && has("leads") && !has("none leads")
    };
    wait_until(TIMEOUT, || cluster.logs(), stands_by);
    cluster.run(&cluster.submit("haze.toml", &["--name", "r"])).exits_with(0);
    cluster.kill_coordinator_number(second);
    assert_eq!(cluster.query("SELECT * FROM scores").len(), 3);
    assert_eq!(cluster.logs().matches(says).count(), 2, "both say it\n{}", cluster.logs());
}

#[test]
fn where_conditional_puts_are_ignored_one_of_two_leads() {
    assert_one_of_two_leads(
        Cluster::with_conditional_puts(PROGRAMS, ConditionalPuts::Ignored),
        "the store ignores conditional puts",
    );
}

#[test]
fn where_conditional_puts_are_refused_one_of_two_leads() {
    assert_one_of_two_leads(
        Cluster::with_conditional_puts(PROGRAMS, ConditionalPuts::Refused),
        "the store refuses conditional puts",
    );
}

/// A library with which no hard link can be made, as on exFAT, SMB and sshfs.
const NO_LINKS: &str = r"
#include <errno.h>
int link(const char *a, const char *b) { (void)a; (void)b; errno = EPERM; return -1; }
int linkat(int x, const char *a, int y, const char *b, int f) { (void)x; (void)a; (void)y; (void)b; (void)f; errno = EPERM; return -1; }
";

#[test]
fn where_a_file_system_has_no_hard_links_one_of_two_leads() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.file("nolink.c", NO_LINKS.as_bytes());
    let (source, library) = (cluster.dir.path("nolink.c"), cluster.dir.path("nolink.so"));
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no C compiler `cc`");
        return;
    }
    cluster.env.push(("LD_PRELOAD".to_owned(), library.display().to_string()));
    assert_one_of_two_leads(cluster, "no hard links");
}
