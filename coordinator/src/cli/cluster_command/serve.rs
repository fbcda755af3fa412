//! `dqa-coord serve`: runs a coordinator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use dqa_pipelines::store::{Store, StoreFault};
use dqa_pipelines::{Retryable, causes};
use dqa_service::net::{TlsArgs, Token, Tokens, listen_address};
use dqa_service::program::help::headings;
use dqa_service::program::{ExitStatus, note, print_error};
use dqa_service::telemetry;
use tracing::warn;

use crate::cli::args::StoreArgs;
use crate::cluster::{self, Settings, ShutdownReason};

/// Time to wait for a store that does not answer when the coordinator starts. After it the process exits with code 75,
/// and its supervisor decides.
const STORE_WAIT_MAX: Duration = Duration::from_secs(25);
const STORE_RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Runs a coordinator: takes runs from users and has workers score them, until it is stopped by a signal.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Address to listen on for users, workers, metrics and health checks: HOST:PORT, with an IPv6 address in brackets.
    #[arg(long, env = "DQA_LISTEN", default_value = "127.0.0.1:7070", value_parser = listen_address, value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Name of this coordinator among those of the store; give the same one after a restart [default: the machine's
    /// name and the port].
    #[arg(long, env = "DQA_ID", value_name = "NAME")]
    id: Option<String>,

    /// File with the users' token.
    #[arg(long, env = "DQA_USER_TOKEN_FILE", help_heading = headings::SECURITY, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// File with the workers' token.
    #[arg(long, env = "DQA_WORKER_TOKEN_FILE", help_heading = headings::SECURITY, value_name = "FILE")]
    worker_token_file: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

    /// Listen without TLS or tokens beyond this machine. Only for a trusted network.
    #[arg(long, env = "DQA_INSECURE", help_heading = headings::SECURITY, value_parser = BoolishValueParser::new())]
    insecure: bool,

    /// Folders and URLs below which data sets may lie, joined by commas [default: any remote store; this machine's
    /// files only if the coordinator listens on loopback].
    #[arg(long, env = "DQA_ROOTS", value_delimiter = ',', value_name = "URLS")]
    roots: Vec<String>,

    /// Seconds that a shard may take in addition to the estimated time of its windows. After that it is tried on
    /// another worker.
    #[arg(long, env = "DQA_DEADLINE", default_value_t = 120, value_name = "SECONDS")]
    deadline: u64,

    /// Collector to send traces to (OTLP over gRPC).
    #[arg(long, env = "DQA_OTLP", value_name = "URL")]
    otlp: Option<String>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let _exporter = args.otlp.as_deref().map(|url| telemetry::export("dqa-coord", url)).transpose()?;
    let tokens = Tokens {
        users: args.token_file.as_deref().map(Token::read).transpose()?,
        workers: args.worker_token_file.as_deref().map(Token::read).transpose()?,
    };
    let store = match open_store(&args.store).await {
        Err(error) if is_transient(&error) => {
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

/// Opens the store, waiting until it answers.
async fn open_store(args: &StoreArgs) -> anyhow::Result<Store> {
    let started = Instant::now();
    loop {
        match args.create().await {
            Err(error) if is_transient(&error) && started.elapsed() < STORE_WAIT_MAX => {
                warn!(error = %causes(&*error), "the store does not answer");
                tokio::time::sleep(STORE_RETRY_INTERVAL).await;
            }
            other => return other,
        }
    }
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(StoreFault::is_retryable))
}
