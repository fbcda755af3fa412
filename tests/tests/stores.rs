//! Stores that are set up wrongly, refuse, or do less than others: what is said, and that it is said at once.

#![allow(clippy::unwrap_used)] // helpers too

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use dqa_tests::cluster::{Cluster, HANGS, Programs};
use dqa_tests::s3::{Conditional, Server};
use dqa_tests::{Said, TestDir};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// An access key and a secret that no message may show.
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAHIDDEN"), ("AWS_SECRET_ACCESS_KEY", "hidden-secret")];

/// Answers every request alike.
fn answering(status: &'static str, body: &'static str) -> String {
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
fn runs(place: &TestDir, store: &str, variables: &[(&str, &str)]) -> Said {
    let mut command = place.command(&["runs"]);
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env("DQA_STORE", store).env("HOME", place.path("")).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn what_is_wrong_with_a_store_is_said_with_what_to_do() {
    let place = TestDir::new(PROGRAMS.coordinator);
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
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
            at(answering("400 Bad Request", region)),
            ["region `eu-central-1`", "export AWS_REGION=eu-central-1"],
        ),
        (
            "s3://b/x",
            at(answering("403 Forbidden", key)),
            ["does not know the key in AWS_ACCESS_KEY_ID", "AWS_ENDPOINT"],
        ),
        ("s3://b/x", at(answering("403 Forbidden", secret)), ["AWS_SECRET_ACCESS_KEY is not the secret", "key"]),
        ("s3://b/x", at(answering("403 Forbidden", clock)), ["clock", "timedatectl"]),
        ("s3://b/x", at(answering("404 Not Found", bucket)), ["the bucket `b` does not exist", "create the bucket"]),
        (
            "gs://b/x",
            vec![("GOOGLE_APPLICATION_CREDENTIALS", "/none.json")],
            ["GOOGLE_APPLICATION_CREDENTIALS names a file", "No such file"],
        ),
        ("az://b/x", vec![], ["AZURE_STORAGE_ACCOUNT_NAME is not set", "export AZURE_STORAGE_ACCOUNT_NAME"]),
        (
            "az://b/x",
            azure(answering("404 Not Found", container)),
            ["the container `b` does not exist", "create the container"],
        ),
    ];
    let mut shown = String::new();
    for (store, variables, says) in cases {
        let said = runs(&place, store, &variables).ends_with(2);
        for text in says {
            assert!(said.err.contains(text), "{variables:?}: no `{text}` in\n{}", said.err);
        }
        assert!(!said.err.contains("AKIAHIDDEN") && !said.err.contains("hidden-secret"), "{}", said.err);
        assert!(said.out.is_empty(), "{}", said.out);
        shown += &format!("{store}\n{}\n", said.err);
    }
    println!("{shown}");
}

#[test]
fn variables_of_other_programs_break_nothing() {
    use std::os::unix::ffi::OsStringExt;
    let place = TestDir::new(PROGRAMS.coordinator);
    place.haze(&["dcp"]);
    let s3 = Server::start(&place.path("s3"));
    let mut command = place.command(&place.submit("haze.toml", &["--name", "r"]));
    command.env("DQA_STORE", "s3://results/store").envs(s3.env());
    command.env("TOKEN", "of-another").env("REGION", "elsewhere").env("ENDPOINT", "http://127.0.0.1:1");
    command
        .env("OTHER", std::ffi::OsString::from_vec(vec![0xff]))
        .env("AWS_PAGER", std::ffi::OsString::from_vec(vec![0xff]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Two coordinators of a store that does not decide between them: one leads and scores, the other stands by, and both say why.
fn one_of_two_leads(mut cluster: Cluster, says: &str) {
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    let (mut another, address) = cluster.start_another();
    let started = Instant::now();
    loop {
        let said = cluster.store(&["runs", "--coordinator", &address]);
        if said.err.contains("stands by") && said.err.contains("leads") && !said.err.contains("none leads") {
            break;
        }
        assert!(said.code != 0 && started.elapsed() < HANGS, "it leads too\n{}\n{}", said.err, cluster.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    cluster.user(&cluster.submit("haze.toml", &["--name", "r"])).ends_with(0);
    another.kill().unwrap();
    another.wait().unwrap();
    assert_eq!(cluster.query("SELECT * FROM scores").len(), 3);
    assert_eq!(cluster.said().matches(says).count(), 2, "both say it\n{}", cluster.said());
}

#[test]
fn where_conditional_puts_are_ignored_one_of_two_leads() {
    one_of_two_leads(Cluster::in_odd_s3(PROGRAMS, Conditional::Ignored), "the store ignores conditional puts");
}

#[test]
fn where_conditional_puts_are_refused_one_of_two_leads() {
    one_of_two_leads(Cluster::in_odd_s3(PROGRAMS, Conditional::Refused), "the store refuses conditional puts");
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
    cluster.place.file("nolink.c", NO_LINKS.as_bytes());
    let (source, library) = (cluster.place.path("nolink.c"), cluster.place.path("nolink.so"));
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no C compiler `cc`");
        return;
    }
    cluster.env.push(("LD_PRELOAD".to_owned(), library.display().to_string()));
    one_of_two_leads(cluster, "no hard links");
}
