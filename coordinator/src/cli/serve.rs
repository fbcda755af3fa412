//! `dqa-coord serve`: a coordinator for users and workers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use dqa_pipelines::causes;
use dqa_pipelines::store::{Store, StoreFault};
use dqa_worker::net::{TlsArgs, Token, Tokens, listen_address};
use dqa_worker::program::{ExitStatus, note, print_error};
use dqa_worker::telemetry;
use tracing::warn;

use super::StoreArgs;
use crate::cluster::{self, Settings, ShutdownReason};

/// A store that does not answer when a coordinator starts is waited for so long; then the coordinator's supervisor decides.
const STORE_WAIT_MAX: Duration = Duration::from_secs(25);
const STORE_AGAIN: Duration = Duration::from_secs(2);

/// Takes runs from users and has workers score them, until it is told to end.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Where it listens, for users, workers, metrics and health: HOST:PORT, an IPv6 address in brackets.
    #[arg(long, env = "DQA_LISTEN", default_value = "127.0.0.1:7070", value_parser = listen_address, value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Its name among the coordinators of the store, the same after a restart [default: this machine's, with the port].
    #[arg(long, env = "DQA_ID", value_name = "NAME")]
    id: Option<String>,

    /// A file with the users' token.
    #[arg(long, env = "DQA_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A file with the workers' token.
    #[arg(long, env = "DQA_WORKER_TOKEN_FILE", value_name = "FILE")]
    worker_token_file: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

    /// Go without TLS or tokens on a network that is trusted.
    #[arg(long, env = "DQA_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,

    /// Where data sets may be: what their addresses begin with, joined by commas [default: anywhere, but on this machine
    /// only where nobody else can ask].
    #[arg(long, env = "DQA_ROOTS", value_delimiter = ',', value_name = "URLS")]
    roots: Vec<String>,

    /// Seconds that a shard has beside what its windows take; after that it is tried elsewhere.
    #[arg(long, env = "DQA_DEADLINE", default_value_t = 120, value_name = "SECONDS")]
    deadline: u64,

    /// A collector of traces (OTLP over gRPC).
    #[arg(long, env = "DQA_OTLP", value_name = "URL")]
    otlp: Option<String>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let _exporter = args.otlp.as_deref().map(|url| telemetry::export("dqa-coord", url)).transpose()?;
    let tokens = Tokens {
        users: args.token_file.as_deref().map(Token::read).transpose()?,
        workers: args.worker_token_file.as_deref().map(Token::read).transpose()?,
    };
    let store = match store(&args.store).await {
        Err(error) if may_pass(&error) => {
            print_error(&error);
            return Ok(ExitStatus::Restart);
        }
        other => other?,
    };
    let settings = Settings {
        store,
        listen: args.listen,
        id: args.id.clone(),
        tls: args.tls.read()?,
        tokens,
        insecure: args.insecure,
        roots: args.roots.clone(),
        deadline_base: Duration::from_secs(args.deadline),
        on_listening: Box::new(|address| note(format_args!("listening on {address}"))),
    };
    Ok(match cluster::serve(settings).await? {
        ShutdownReason::Signal => ExitStatus::All,
        ShutdownReason::Superseded => ExitStatus::Restart,
    })
}

/// The store, once it answers.
async fn store(args: &StoreArgs) -> anyhow::Result<Store> {
    let started = Instant::now();
    loop {
        match args.create().await {
            Err(error) if may_pass(&error) && started.elapsed() < STORE_WAIT_MAX => {
                warn!(error = %causes(&*error), "the store does not answer");
                tokio::time::sleep(STORE_AGAIN).await;
            }
            other => return other,
        }
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(StoreFault::may_pass))
}
