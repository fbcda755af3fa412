//! Access control on the ports of coordinator and worker: valid, invalid and missing certificates and tokens.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Ticket};
use ballista_core::serde::protobuf::PollWorkParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient;
use dqa_proto::v1::worker_service_client::WorkerServiceClient;
use dqa_proto::v1::{AttendRequest, DeviceClass, Hello, ListWorkersRequest, attend_request};
use dqa_service::net::{AuthInterceptor, TlsArgs, Token, channel, flight_user_agent};
use dqa_tests::certificates::{Authority, CertificateFiles};
use dqa_tests::cluster::{Cluster, Programs, TIMEOUT, free_port};
use dqa_tests::wait_until;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };
const USERS: &str = "the-users-secret-token-0123";
const WORKERS: &str = "the-workers-secret-token-45";

/// A cluster with certificates and tokens, and a worker whose port is known.
struct Guarded {
    cluster: Cluster,
    worker_port: u16,
    insider: CertificateFiles,
    stranger: CertificateFiles,
}

impl Guarded {
    fn new() -> Guarded {
        let mut cluster = Cluster::local(PROGRAMS);
        cluster.scheme = "https";
        let (authority, other) = (Authority::new(), Authority::new());
        let folder = cluster.dir.path("");
        let sign = |name: &str| authority.sign(&folder, name);
        let (coordinator, worker, insider) = (sign("coordinator"), sign("worker"), sign("user"));
        let stranger = other.sign(&folder, "stranger");
        cluster.dir.file("users.token", USERS.as_bytes());
        cluster.dir.file("workers.token", WORKERS.as_bytes());
        cluster.dir.file("wrong.token", b"somebody-else-s-token-6789");
        let flags = |flags: &[&str], files: &CertificateFiles| {
            flags.iter().map(|flag| (*flag).to_owned()).chain(files.flags()).collect::<Vec<String>>()
        };
        let tokens = ["--token-file", "users.token", "--worker-token-file", "workers.token"];
        cluster.serve_args = flags(&tokens, &coordinator);
        let worker_port = free_port();
        let listen = format!("127.0.0.1:{worker_port}");
        cluster.worker_args = flags(&["--token-file", "workers.token", "--listen", &listen], &worker);
        cluster.user_args = flags(&["--token-file", "users.token"], &insider);
        Guarded { cluster, worker_port, insider, stranger }
    }

    fn token(&self, name: &str) -> Token {
        Token::read(&self.cluster.dir.path(&format!("{name}.token"))).unwrap()
    }

    fn urls(&self) -> [String; 2] {
        [self.cluster.url(), format!("https://127.0.0.1:{}", self.worker_port)]
    }
}

fn args(files: &CertificateFiles) -> TlsArgs {
    TlsArgs {
        tls_cert: Some(files.certificate.clone()),
        tls_key: Some(files.key.clone()),
        tls_ca: Some(files.authority.clone()),
    }
}

type Intercepted = InterceptedService<Channel, AuthInterceptor>;

/// What each service answers: of the coordinator's port, and of a worker's.
async fn answers(to: Channel, flight: Channel, token: Option<&Token>) -> Vec<(&'static str, Status)> {
    let caller = AuthInterceptor::new(token);
    let with = |channel: Channel| -> Intercepted { InterceptedService::new(channel, caller.clone()) };
    let users = CoordinatorServiceClient::new(with(to.clone())).list_workers(ListWorkersRequest {}).await;
    let hello = AttendRequest {
        message: Some(attend_request::Message::Hello(Hello {
            protocol_version: dqa_proto::PROTOCOL_VERSION,
            id: "intruder".to_owned(),
            device: DeviceClass::Cpu.into(),
            slots: 1,
            ..Hello::default()
        })),
    };
    let attends = WorkerServiceClient::new(with(to.clone())).attend(tokio_stream::iter([hello])).await;
    let polls = SchedulerGrpcClient::new(with(to)).poll_work(PollWorkParams::default()).await;
    let reads = FlightServiceClient::new(with(flight.clone())).do_get(Ticket { ticket: "x".into() }).await;
    // As rows of queries are read.
    let blocks = Action { r#type: "IO_BLOCK_TRANSPORT".to_owned(), body: "x".into() };
    let blocks = FlightServiceClient::new(with(flight)).do_action(blocks).await;
    let status = |result: Result<(), Status>| result.err().unwrap_or_else(|| Status::ok(""));
    vec![
        ("users", status(users.map(drop))),
        ("attend", status(attends.map(drop))),
        ("poll", status(polls.map(drop))),
        ("flight", status(reads.map(drop))),
        ("blocks", status(blocks.map(drop))),
    ]
}

fn endpoint(url: &str, tls: ClientTlsConfig) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().tls_config(tls).unwrap().connect_lazy()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_valid_certificates_and_tokens_are_accepted() {
    let mut guarded = Guarded::new();
    guarded.cluster.dir.haze(&["dcp", "aod"]);
    guarded.cluster.start_coordinator();
    guarded.cluster.start_worker(&[]);
    guarded.cluster.wait_for_workers(1);
    guarded.cluster.run(&guarded.cluster.submit("haze.toml", &["--name", "r"])).exits_with(0);

    let [url, flight_url] = guarded.urls();
    let (users, workers, wrong) = (guarded.token("users"), guarded.token("workers"), guarded.token("wrong"));
    let tls = args(&guarded.insider).read().unwrap();
    let with_certificate = |url: &str| channel(url, &tls, None, false).unwrap();
    let ask = |token| answers(with_certificate(&url), with_certificate(&flight_url), token);
    let codes = |answers: Vec<(&'static str, Status)>| {
        answers.into_iter().map(|(service, status)| (service, status.code())).collect::<Vec<_>>()
    };
    let refused = |services: [&'static str; 5]| services.map(|service| (service, Code::Unauthenticated)).to_vec();
    let all = ["users", "attend", "poll", "flight", "blocks"];

    // A certificate and no token, or a wrong one: nothing.
    assert_eq!(codes(ask(None).await), refused(all));
    assert_eq!(codes(ask(Some(&wrong)).await), refused(all));
    // Each token opens its own services, and nothing else.
    let by_user = codes(ask(Some(&users)).await);
    assert_eq!(by_user[0], ("users", Code::Ok));
    assert_eq!(by_user[1..], refused(all)[1..]);
    let by_worker = codes(ask(Some(&workers)).await);
    assert_eq!(by_worker[0], ("users", Code::Unauthenticated));
    assert_eq!(by_worker[1], ("attend", Code::Ok));
    // A worker that said hello may poll, others may not; a ticket that is none is read as one.
    assert_eq!(by_worker[2], ("poll", Code::FailedPrecondition));
    assert!(by_worker[3..].iter().all(|(_, code)| *code != Code::Unauthenticated), "{by_worker:?}");

    // The right token without a certificate, or with one that another signed: nothing.
    let authority = Certificate::from_pem(read(&guarded.insider.authority));
    let none = ClientTlsConfig::new().ca_certificate(authority.clone());
    let identity = Identity::from_pem(read(&guarded.stranger.certificate), read(&guarded.stranger.key));
    let strange = none.clone().identity(identity);
    for token in [&users, &workers] {
        let answers_of = |tls: &ClientTlsConfig| {
            answers(endpoint(&url, tls.clone()), endpoint(&flight_url, tls.clone()), Some(token))
        };
        assert_eq!(codes(answers_of(&none).await), refused(all));
        for (service, status) in answers_of(&strange).await {
            assert!(!matches!(status.code(), Code::Ok | Code::FailedPrecondition), "{service}: {status:?}");
        }
    }
    // Without TLS there is no answer at all.
    for url in [&url, &flight_url] {
        let plain = Endpoint::from_shared(url.replace("https", "http")).unwrap().connect_lazy();
        for (service, status) in answers(plain.clone(), plain, Some(&users)).await {
            assert!(
                matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
                "{service}: {status:?}"
            );
        }
    }
    // The refusals were not those of a dead server.
    let alive = codes(ask(Some(&users)).await);
    assert_eq!(alive[0], ("users", Code::Ok));
    assert_eq!(alive[1..], refused(all)[1..]);

    // What Ballista offers beside polling is for nobody.
    let with = |token: &Token| InterceptedService::new(with_certificate(&url), AuthInterceptor::new(Some(token)));
    let mut ballista = SchedulerGrpcClient::new(with(&workers));
    let executes = ballista.execute_query(ballista_core::serde::protobuf::ExecuteQueryParams::default()).await;
    assert_eq!(executes.unwrap_err().code(), Code::Unimplemented);
    let cancels = ballista.cancel_job(ballista_core::serde::protobuf::CancelJobParams::default()).await;
    assert_eq!(cancels.unwrap_err().code(), Code::Unimplemented);

    // Pages: health is for everyone, numbers are not.
    let page = |url: &str, path: &str, more: &[&str]| {
        let authority = guarded.insider.authority.display().to_string();
        let url = format!("{url}{path}");
        let output = std::process::Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &authority, &url])
            .args(more)
            .output();
        output.map(|output| String::from_utf8(output.stdout).unwrap()).ok()
    };
    let bearer = format!("Authorization: {}", workers.header());
    let (certificate, key) =
        (guarded.insider.certificate.display().to_string(), guarded.insider.key.display().to_string());
    for url in [&url, &flight_url] {
        let Some(health) = page(url, "/healthz", &[]) else {
            eprintln!("skipped: there is no curl");
            break;
        };
        assert_eq!(health, "200");
        assert_eq!(page(url, "/metrics", &[]).unwrap(), "401");
        assert_eq!(page(url, "/metrics", &["-H", &bearer]).unwrap(), "401", "a token without a certificate");
        let whole = ["-H", bearer.as_str(), "--cert", &certificate, "--key", &key];
        assert_eq!(page(url, "/metrics", &whole).unwrap(), "200");
    }
    let output = guarded.cluster.logs();
    for secret in [USERS, WORKERS, flight_user_agent(Some(&workers)).as_str()] {
        assert!(!output.contains(secret), "no secrets in logs");
    }
}

/// Rows go from worker to worker and to the coordinator with certificates and the workers' token.
#[test]
fn queries_are_answered_behind_certificates_and_tokens() {
    let mut guarded = Guarded::new();
    guarded.cluster.dir.haze(&["dcp", "aod"]);
    guarded.cluster.start_coordinator();
    guarded.cluster.start_worker(&[]);
    let another = format!("127.0.0.1:{}", free_port());
    let listen = guarded.cluster.worker_args.iter_mut().find(|flag| flag.starts_with("127.0.0.1:")).unwrap();
    *listen = another;
    guarded.cluster.start_worker(&[]);
    guarded.cluster.wait_for_workers(2);
    let submit = guarded.cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    guarded.cluster.run(&submit).exits_with(0);
    let sql = "SELECT algorithm, count(*) AS n FROM scores GROUP BY 1 ORDER BY 1";
    let output = guarded.cluster.run(&["query", sql, "--engine", "cluster", "--format", "csv"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "algorithm,n\naod,3\ndcp,3\n"),
        "{}{}",
        output.stderr,
        guarded.cluster.logs()
    );
    let ask = ["query", sql, "--engine", "cluster", "--coordinator", &guarded.cluster.url()];
    let flags = guarded.insider.flags();
    let mut without = guarded.cluster.dir.command(&ask);
    let without = without.args(&flags).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
    let error = String::from_utf8_lossy(&without.stderr);
    assert!(error.contains("the coordinator does not know this user"), "{error}");
}

#[test]
fn a_caller_that_sends_nothing_is_disconnected() {
    let mut guarded = Guarded::new();
    guarded.cluster.start_coordinator();
    guarded.cluster.wait_for_workers(0);
    let mut caller = TcpStream::connect(("127.0.0.1", guarded.cluster.port())).unwrap();
    caller.set_read_timeout(Some(TIMEOUT)).unwrap();
    let ended = caller.read(&mut [0]);
    assert!(!matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock), "it is still connected: {ended:?}");
}

#[test]
fn a_worker_with_a_wrong_token_or_certificate_does_not_register() {
    let mut guarded = Guarded::new();
    guarded.cluster.start_coordinator();
    guarded.cluster.wait_for_workers(0);
    let right = guarded.cluster.worker_args.clone();
    guarded.cluster.worker_args = right.iter().map(|flag| flag.replace("workers.token", "users.token")).collect();
    let wrong = guarded.cluster.start_worker(&[]);
    assert_eq!(guarded.cluster.wait_for_exit(wrong), 2, "it is not started again");
    let logs = guarded.cluster.logs();
    assert!(logs.contains("the coordinator refused this worker: the token is invalid"), "{logs}");
    assert!(logs.contains("hint: give the workers' token with --token-file"), "{logs}");
    assert!(!logs.contains("poll work loop failed"), "Ballista's retries are not what is wrong: {logs}");
    let strange = guarded.stranger.flags();
    guarded.cluster.worker_args =
        ["--token-file", "workers.token"].map(str::to_owned).into_iter().chain(strange).collect();
    let stranger = guarded.cluster.start_worker(&[]);
    // It does not trust the coordinator either, and looks for another for ever.
    let log = || guarded.cluster.worker_log(stranger);
    wait_until(TIMEOUT, log, || log().matches("no coordinator; trying again").count() >= 2);
    assert!(guarded.cluster.exit_status(stranger).is_none());
    guarded.cluster.wait_for_workers(0);
}

#[test]
fn an_open_port_is_refused() {
    let cluster = Cluster::local(PROGRAMS);
    cluster.dir.file("users.token", USERS.as_bytes());
    cluster.dir.file("short.token", b"short");
    for (arguments, says) in [
        (&["serve", "--listen", "0.0.0.0:0"][..], "it has neither TLS nor tokens"),
        (
            &["serve", "--listen", "0.0.0.0:0", "--token-file", "users.token", "--worker-token-file", "users.token"][..],
            "it has no TLS",
        ),
        (&["serve", "--token-file", "short.token"][..], "has fewer than 16 characters"),
        (&["serve", "--tls-cert", "users.token"][..], "a certificate needs its key"),
        (&["serve", "--token-file", "none.token"][..], "cannot read the token none.token"),
    ] {
        let output = cluster.dir.run(arguments).exits_with(2);
        assert!(output.stderr.contains(says), "{arguments:?}: {}", output.stderr);
    }
    let mut open = cluster.dir.command(&["serve", "--listen", "0.0.0.0:0", "--insecure"]);
    let mut open = open.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(open.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("coordinator starts")), "who asks for it gets it");
    open.kill().unwrap();
    open.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_version_is_refused_and_the_run_continues() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "200")]);
    cluster.wait_for_workers(1);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).exits_with(0);
    let old = AttendRequest {
        message: Some(attend_request::Message::Hello(Hello {
            protocol_version: dqa_proto::PROTOCOL_VERSION - 1,
            id: "old".to_owned(),
            program_version: "0.0.9".to_owned(),
            device: DeviceClass::Cpu.into(),
            slots: 1,
            ..Hello::default()
        })),
    };
    let mut client = WorkerServiceClient::connect(cluster.url()).await.unwrap();
    let refusal = client.attend(tokio_stream::iter([old])).await.unwrap_err();
    assert_eq!((refusal.code(), dqa_proto::code(&refusal)), (Code::FailedPrecondition, Some("protocol_version")));
    let older = format!("worker old (dqa 0.0.9) speaks version {} of the protocol", dqa_proto::PROTOCOL_VERSION - 1);
    assert!(refusal.message().contains(&older), "{refusal:?}");
    let hint = refusal.metadata().get(dqa_proto::HINT).unwrap().to_str().unwrap();
    assert_eq!(hint, "install the coordinator's version of dqa-worker");
    // And it cannot take orders either.
    let polls = SchedulerGrpcClient::connect(cluster.url()).await.unwrap().poll_work(PollWorkParams::default()).await;
    assert_eq!(polls.unwrap_err().code(), Code::FailedPrecondition);
    cluster.wait_for_run("r", |run| run["state"] == "complete");
}
